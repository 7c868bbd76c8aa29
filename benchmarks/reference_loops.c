/* The references: one plain single-thread C loop per query, as a C programmer would write it by hand for
 * that one query and no other. Nothing is shared with the product.
 *
 *   condition      mask of a block by the vectoriser, then a gather of the few rows that pass
 *   sequence       a x*? b y*? c WITHIN w, every open start kept, keys through a hash map (or dense)
 *   sequence_n     the same for n steps; only a reference for the answer, not for the speed
 *   vshape         strt down{2,} up{2,} with PREV, keys through a hash map
 *
 * Outputs are written into buffers of the caller, large enough for the worst case (and warm: he reuses them).
 * Each returns the number of matches, or -1 when memory ran out.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- key -> 0, 1, 2, ... by open addressing; grows at a quarter full ------------------------------------ */

/* A quarter, not half: a second probe is a missed branch (1 000 keys: 62 against 55 M events/s). */
typedef struct { int64_t key; int64_t id; } Slot;                 /* id < 0: empty */
typedef struct { Slot *slots; int64_t n; int shift; } Map;

static inline uint64_t hash64(int64_t key, int shift) {
    return ((uint64_t)key * 0x9E3779B97F4A7C15ull) >> shift;
}

static Slot *slots_new(int bits) {
    Slot *s = malloc(sizeof(Slot) << bits);
    if (s) for (int64_t i = 0; i < (int64_t)1 << bits; i++) s[i].id = -1;
    return s;
}

static int map_grow(Map *m) {
    int bits = 64 - m->shift;
    Slot *fresh = slots_new(bits + 1);
    if (!fresh) return 0;
    uint64_t mask = ((uint64_t)2 << bits) - 1;
    for (int64_t i = 0; i < (int64_t)1 << bits; i++) {
        if (m->slots[i].id < 0) continue;
        uint64_t h = hash64(m->slots[i].key, m->shift - 1);
        while (fresh[h].id >= 0) h = (h + 1) & mask;
        fresh[h] = m->slots[i];
    }
    free(m->slots);
    m->slots = fresh;
    m->shift--;
    return 1;
}

/* The id of `key`; a new key gets the next one. -1: no memory. */
static inline int64_t map_id(Map *m, int64_t key) {
    uint64_t mask = ((uint64_t)1 << (64 - m->shift)) - 1;
    uint64_t h = hash64(key, m->shift);
    while (m->slots[h].id >= 0) {
        if (m->slots[h].key == key) return m->slots[h].id;
        h = (h + 1) & mask;
    }
    m->slots[h] = (Slot){key, m->n};
    int64_t id = m->n++;
    if ((uint64_t)m->n * 4 > mask && !map_grow(m)) return -1;
    return id;
}

/* Makes room for state `id` in an array of states; new ones are zero. NULL: no memory (the old one stays). */
static void *states_room(void *states, int64_t *cap, int64_t id, size_t size) {
    int64_t to = *cap ? *cap : 1024;
    while (to <= id) to *= 2;
    void *p = aligned_alloc(64, (size_t)to * size);
    if (!p) return NULL;
    if (*cap) memcpy(p, states, (size_t)*cap * size);
    memset((char *)p + (size_t)*cap * size, 0, (size_t)(to - *cap) * size);
    free(states);
    *cap = to;
    return p;
}

/* ---- condition: price > p AND size < s, the passing rows of four columns --------------------------- */

int64_t condition(int64_t n, const double *restrict price, const int64_t *restrict size,
                  const int64_t *restrict ts, const int32_t *restrict sym, double p, int64_t s,
                  double *restrict o_price, int64_t *restrict o_size, int64_t *restrict o_ts,
                  int32_t *restrict o_sym) {
    enum { BLOCK = 1024 };
    _Alignas(64) uint8_t pass[BLOCK];
    int64_t m = 0;
    for (int64_t base = 0; base < n; base += BLOCK) {
        int64_t rows = n - base < BLOCK ? n - base : BLOCK;
        const double *bp = price + base;
        const int64_t *bs = size + base;
        for (int64_t i = 0; i < rows; i++) pass[i] = (bp[i] > p) & (bs[i] < s);
        if (rows & 7) memset(pass + rows, 0, 8 - (rows & 7));
        for (int64_t i = 0; i < rows; i += 8) {                   /* eight rows at a look: 92 % have none */
            uint64_t word;
            memcpy(&word, pass + i, 8);
            while (word) {
                int64_t row = base + i + (__builtin_ctzll(word) >> 3);
                o_price[m] = price[row];
                o_size[m] = size[row];
                o_ts[m] = ts[row];
                o_sym[m] = sym[row];
                m++;
                word &= word - 1;
            }
        }
    }
    return m;
}

/* ---- a x*? b y*? c WITHIN w, AFTER MATCH SKIP PAST LAST ROW ----------------------------------------
 * Reluctant gaps: the start takes the first b after it, then the first c after that b; both can only move
 * later for a later start, so the open starts of a key are a queue in order of age of which the first
 * `n_b` have their b. A c closes the oldest of these that is still young enough; the match takes every row
 * up to c, so all open starts of the key go. Starts too old leave from the front: later ones live on. */

typedef struct {
    int64_t near[4];                                              /* the ring until it must grow */
    int64_t *far;                                                 /* else the ring, or NULL */
    uint32_t head, n, n_b, cap;                                   /* cap: 0 (= 4, near) or a power of two */
} Starts;

static inline int64_t *ring_of(Starts *q) { return q->far ? q->far : q->near; }

static int starts_push(Starts *q, int64_t ts) {
    uint32_t cap = q->far ? q->cap : 4;
    if (q->n == cap) {
        int64_t *more = malloc(sizeof(int64_t) * cap * 2), *ring = ring_of(q);
        if (!more) return 0;
        for (uint32_t i = 0; i < q->n; i++) more[i] = ring[(q->head + i) & (cap - 1)];
        free(q->far);
        q->far = more;
        q->head = 0;
        q->cap = cap *= 2;
    }
    ring_of(q)[(q->head + q->n++) & (cap - 1)] = ts;
    return 1;
}

static inline void starts_expire(Starts *q, int64_t too_old) {    /* those with ts <= too_old */
    uint32_t mask = (q->far ? q->cap : 4) - 1;
    int64_t *ring = ring_of(q);
    while (q->n && ring[q->head] <= too_old) {
        q->head = (q->head + 1) & mask;
        q->n--;
        q->n_b -= q->n_b > 0;
    }
}

/* One row that is a, b or c. 1: a match, its start in *start; -1: no memory. */
static inline int starts_step(Starts *q, int32_t kind, int64_t ts, int64_t within, int64_t *start) {
    if (kind == 0) {
        starts_expire(q, ts - within);
        return starts_push(q, ts) ? 0 : -1;
    }
    if (kind == 1) {
        q->n_b = q->n;
        return 0;
    }
    if (!q->n_b) return 0;
    starts_expire(q, ts - within);
    if (!q->n_b) return 0;
    *start = ring_of(q)[q->head];
    q->n = q->n_b = 0;
    return 1;
}

static int64_t sequence(int64_t n, const int64_t *restrict key, const int64_t *restrict ts,
                        const int32_t *restrict kind, int64_t within, int64_t n_keys, Map *map,
                        int64_t *restrict o_key, int64_t *restrict o_start, int64_t *restrict o_end) {
    enum { BLOCK = 4096 };
    int32_t rows[BLOCK];
    int64_t cap = 0, m = 0;
    Starts *states = states_room(NULL, &cap, n_keys, sizeof(Starts));
    if (!states) return -1;
    for (int64_t base = 0; base < n && m >= 0; base += BLOCK) {
        int64_t len = n - base < BLOCK ? n - base : BLOCK, k = 0;
        /* Which rows matter, without a branch the predictor cannot learn; the rest is never looked up. */
        for (int64_t i = 0; i < len; i++) {
            rows[k] = (int32_t)i;
            k += (uint32_t)kind[base + i] <= 2;
        }
        for (int64_t j = 0; j < k; j++) {
            int64_t i = base + rows[j], id = key[i], start;
            if (map) {
                id = map_id(map, id);
                if (id < 0) { m = -1; break; }
                if (id >= cap) {
                    void *more = states_room(states, &cap, id, sizeof(Starts));
                    if (!more) { m = -1; break; }
                    states = more;
                }
            }
            int hit = starts_step(&states[id], kind[i], ts[i], within, &start);
            if (hit < 0) { m = -1; break; }
            if (hit) {
                o_key[m] = key[i];
                o_start[m] = start;
                o_end[m] = ts[i];
                m++;
            }
        }
    }
    for (int64_t i = 0; i < cap; i++) free(states[i].far);
    free(states);
    return m;
}

int64_t sequence_hashed(int64_t n, const int64_t *key, const int64_t *ts, const int32_t *kind, int64_t within,
                        int64_t *o_key, int64_t *o_start, int64_t *o_end) {
    Map map = {slots_new(10), 0, 64 - 10};
    if (!map.slots) return -1;
    int64_t m = sequence(n, key, ts, kind, within, 0, &map, o_key, o_start, o_end);
    free(map.slots);
    return m;
}

/* Keys are known to lie in 0 .. n_keys - 1 (the generator's promise). */
int64_t sequence_dense(int64_t n, const int64_t *key, const int64_t *ts, const int32_t *kind, int64_t within,
                       int64_t n_keys, int64_t *o_key, int64_t *o_start, int64_t *o_end) {
    return sequence(n, key, ts, kind, within, n_keys, NULL, o_key, o_start, o_end);
}

/* ---- s0 x*? s1 x*? … : n steps, step j is kind = kinds[j] ------------------------------------------
 * The meaning written down, one attempt at a time: no queue trick, so that it can judge `sequence` too. */

typedef struct { int64_t *ts; int32_t *step; int64_t n, cap; } Attempts;

int64_t sequence_n(int64_t n, const int64_t *key, const int64_t *ts, const int32_t *kind, int64_t within,
                   int32_t n_steps, const int32_t *kinds,
                   int64_t *o_key, int64_t *o_start, int64_t *o_end) {
    Map map = {slots_new(10), 0, 64 - 10};
    int64_t cap = 0, m = 0;
    Attempts *states = map.slots ? states_room(NULL, &cap, 0, sizeof(Attempts)) : NULL;
    if (!states) { free(map.slots); return -1; }
    for (int64_t i = 0; i < n; i++) {
        int64_t id = map_id(&map, key[i]), live = 0, done = -1;
        if (id < 0) { m = -1; break; }
        if (id >= cap) {
            void *more = states_room(states, &cap, id, sizeof(Attempts));
            if (!more) { m = -1; break; }
            states = more;
        }
        Attempts *q = &states[id];
        for (int64_t j = 0; j < q->n; j++) {
            if (ts[i] - q->ts[j] >= within) continue;
            int32_t step = q->step[j] + (kind[i] == kinds[q->step[j]]);
            if (step == n_steps && done < 0) done = q->ts[j];
            q->ts[live] = q->ts[j];
            q->step[live++] = step;
        }
        q->n = live;
        if (done >= 0) {
            o_key[m] = key[i];
            o_start[m] = done;
            o_end[m] = ts[i];
            m++;
            q->n = 0;
        } else if (kind[i] == kinds[0]) {
            if (q->n == q->cap) {
                int64_t to = q->cap ? q->cap * 2 : 16;
                int64_t *t = realloc(q->ts, sizeof(int64_t) * to);
                if (t) q->ts = t;
                int32_t *s = realloc(q->step, sizeof(int32_t) * to);
                if (s) q->step = s;
                if (!t || !s) { m = -1; break; }
                q->cap = to;
            }
            q->ts[q->n] = ts[i];
            q->step[q->n++] = 1;
        }
    }
    for (int64_t i = 0; i < cap; i++) { free(states[i].ts); free(states[i].step); }
    free(states);
    free(map.slots);
    return m;
}

/* ---- strt down{2,} up{2,}: down = price < PREV(price), up = price > PREV(price) ---------------------
 * Both runs are greedy and exclude each other, so one attempt a key is enough: strt is the row before the
 * fall, unless the match before has taken it (its last up); then strt is the first row of the fall. */

typedef struct {
    double prev, strt, low;
    int64_t prev_ts, strt_ts;
    int64_t seen;
    int32_t down, up, pad[2];
} Walk;

int64_t vshape(int64_t n, const int64_t *restrict key, const int64_t *restrict ts,
               const double *restrict price, int64_t *restrict o_key, double *restrict o_strt,
               double *restrict o_low, double *restrict o_high, int64_t *restrict o_start,
               int64_t *restrict o_end) {
    Map map = {slots_new(10), 0, 64 - 10};
    int64_t cap = 0, m = 0;
    Walk *states = map.slots ? states_room(NULL, &cap, 0, sizeof(Walk)) : NULL;
    if (!states) { free(map.slots); return -1; }
#define EMIT(k, w) do { \
        o_key[m] = (k); o_strt[m] = (w)->strt; o_low[m] = (w)->low; o_high[m] = (w)->prev; \
        o_start[m] = (w)->strt_ts; o_end[m] = (w)->prev_ts; m++; \
    } while (0)
    for (int64_t i = 0; i < n; i++) {
        int64_t id = map_id(&map, key[i]);
        if (id < 0) { m = -1; break; }
        if (id >= cap) {
            void *more = states_room(states, &cap, id, sizeof(Walk));
            if (!more) { m = -1; break; }
            states = more;
        }
        Walk *w = &states[id];
        double p = price[i];
        if (w->seen && p < w->prev) {
            if (w->up >= 2) {                                     /* the rise is over: this row is free for strt */
                EMIT(key[i], w);
                w->down = w->up = 0;
            } else if (w->up || !w->down) {
                w->strt = w->prev;
                w->strt_ts = w->prev_ts;
                w->down = 1;
                w->up = 0;
            } else {
                w->down++;
            }
            w->low = p;
        } else if (w->seen && p > w->prev) {
            if (w->down >= 2) w->up++;
            else w->down = 0;
        } else {
            if (w->up >= 2) EMIT(key[i], w);
            w->down = w->up = 0;
        }
        w->seen = 1;
        w->prev = p;
        w->prev_ts = ts[i];
    }
    for (int64_t h = 0; m >= 0 && h < (int64_t)1 << (64 - map.shift); h++)
        if (map.slots[h].id >= 0 && states[map.slots[h].id].up >= 2)
            EMIT(map.slots[h].key, &states[map.slots[h].id]);
#undef EMIT
    free(states);
    free(map.slots);
    return m;
}
