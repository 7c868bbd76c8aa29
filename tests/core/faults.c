/* Faults below Python: a library to be preloaded, which makes system calls on files under one folder fail.
 *
 *     cc -O1 -shared -fPIC -o faults.so faults.c -ldl
 *     TOCSIN_FAULTS=control LD_PRELOAD=./faults.so python ...
 *
 * `control` is a file of sizeof(struct control) bytes, mapped here and by the test (tests/store_faults.py has the same
 * layout), so that faults are switched on and off while the program runs. Only calls on paths under `folder` count, by
 * name or by descriptor; all others, and all before `armed` is set, go straight on.
 *
 * Calls of the kinds in `kinds` are counted; number `at` of them (from 1) meets the fault `mode`:
 *
 *     FAIL     returns -1 with `error`, nothing was done (close: it was, as Linux does it)
 *     HALF     a write takes half of its bytes and says so; the next one goes on
 *     TORN     a write takes half of its bytes and says so; the next write fails with `error`
 *     DONE     it was done, and -1 with `error` is returned all the same
 *     LIE      0 is returned, and nothing was done (rename, unlink, truncate)
 *     FULL     from here on writes take `budget` bytes altogether, then fail with `error`, until `armed` is cleared
 *     EVERY    like FAIL, and for each later call of the kinds too, until `armed` is cleared
 *
 * `fired` counts the faults. Calls may come from several threads: the counting is atomic.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, READ = 2, WRITE = 4, SYNC = 8, TRUNCATE = 16, RENAME = 32, UNLINK = 64, MKDIR = 128, CLOSE = 256, DUP = 512, STAT = 1024, LIST = 2048, MAP = 4096 };
enum { FAIL, HALF, TORN, DONE, LIE, FULL, EVERY };
enum { FOLDER_BYTES = 512 };

struct control {
    int32_t armed, kinds, mode, error;
    int64_t at, count, fired, budget, torn;
    char folder[FOLDER_BYTES];
};

static struct control *control;

#define REAL(name) ((__typeof__(&name))real_##name())
#define FIND(name) \
    static void *real_##name(void) { \
        static void *found; \
        if (!found) found = dlsym(RTLD_NEXT, #name); \
        return found; \
    }

FIND(open) FIND(open64) FIND(openat) FIND(openat64) FIND(read) FIND(write) FIND(writev)
FIND(fsync) FIND(fdatasync) FIND(ftruncate) FIND(ftruncate64) FIND(truncate) FIND(truncate64)
FIND(rename) FIND(renameat) FIND(unlink) FIND(unlinkat) FIND(mkdir) FIND(mkdirat) FIND(close) FIND(fcntl) FIND(fcntl64)
FIND(stat) FIND(stat64) FIND(fstat) FIND(fstat64) FIND(mmap) FIND(mmap64)

/* readdir and opendir are libc's; to name their types here would only make this longer. */
extern void *opendir(const char *);
static void *real_opendir(void) {
    static void *found;
    if (!found) found = dlsym(RTLD_NEXT, "opendir");
    return found;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TOCSIN_FAULTS");
    if (!path) return;
    int fd = REAL(open)(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *mapped = REAL(mmap)(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED) control = mapped;
    REAL(close)(fd);
}

static int below(const char *path) {
    size_t size = strnlen(control->folder, FOLDER_BYTES);
    return size && !strncmp(path, control->folder, size) && (!path[size] || path[size] == '/');
}

static int armed(void) { return control && __atomic_load_n(&control->armed, __ATOMIC_ACQUIRE); }

static int ours(const char *path) { return armed() && path && below(path); }

static int our_fd(int fd) {
    if (!armed()) return 0;
    char name[64], path[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return below(path);
}

/* Whether this call, which is ours, meets the fault. */
static int strikes(int kind) {
    int known = errno;
    if (kind == WRITE && __atomic_exchange_n(&control->torn, 0, __ATOMIC_ACQ_REL)) {
        errno = known;
        return 2;
    }
    if (!(control->kinds & kind)) return 0;
    int64_t count = __atomic_add_fetch(&control->count, 1, __ATOMIC_ACQ_REL);
    int strikes = control->mode == FULL || control->mode == EVERY ? count >= control->at : count == control->at;
    if (strikes) __atomic_add_fetch(&control->fired, 1, __ATOMIC_ACQ_REL);
    return strikes;
}

static int fail(void) {
    errno = control->error;
    return -1;
}

/* A call that either fails as a whole or is done. */
#define SIMPLE(kind, condition, call) \
    do { \
        if ((condition) && strikes(kind)) { \
            if (control->mode == LIE) return 0; \
            if (control->mode == DONE) (void)!(call); \
            return fail(); \
        } \
        return call; \
    } while (0)

static size_t allowed(size_t size) {
    if (control->mode == FULL) {
        int64_t left = __atomic_load_n(&control->budget, __ATOMIC_ACQUIRE);
        size_t taken = left <= 0 ? 0 : (size_t)left < size ? (size_t)left : size;
        __atomic_sub_fetch(&control->budget, (int64_t)taken, __ATOMIC_ACQ_REL);
        return taken;
    }
    if (control->mode != HALF && control->mode != TORN) return 0;
    size_t taken = size / 2;
    if (control->mode == TORN && taken) __atomic_store_n(&control->torn, 1, __ATOMIC_RELEASE);
    return taken;
}

ssize_t write(int fd, const void *data, size_t size) {
    int strike = our_fd(fd) ? strikes(WRITE) : 0;
    if (!strike) return REAL(write)(fd, data, size);
    size_t taken = strike == 2 ? 0 : control->mode == DONE ? size : allowed(size);
    ssize_t written = taken ? REAL(write)(fd, data, taken) : 0;
    return written > 0 && control->mode != DONE ? written : fail();
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    int strike = our_fd(fd) ? strikes(WRITE) : 0;
    if (!strike) return REAL(writev)(fd, pieces, count);
    size_t size = 0, at = 0;
    for (int i = 0; i < count; i++) size += pieces[i].iov_len;
    size_t taken = strike == 2 ? 0 : control->mode == DONE ? size : allowed(size);
    char *whole = malloc(size + 1);
    for (int i = 0; i < count; i++) {
        memcpy(whole + at, pieces[i].iov_base, pieces[i].iov_len);
        at += pieces[i].iov_len;
    }
    ssize_t written = taken ? REAL(write)(fd, whole, taken) : 0;
    free(whole);
    return written > 0 && control->mode != DONE ? written : fail();
}

ssize_t read(int fd, void *data, size_t size) {
    if (our_fd(fd) && strikes(READ)) {
        if (control->mode == HALF) return REAL(read)(fd, data, size > 1 ? size / 2 : size);
        return fail();
    }
    return REAL(read)(fd, data, size);
}

int fsync(int fd) { SIMPLE(SYNC, our_fd(fd), REAL(fsync)(fd)); }
int fdatasync(int fd) { SIMPLE(SYNC, our_fd(fd), REAL(fdatasync)(fd)); }
int ftruncate(int fd, off_t size) { SIMPLE(TRUNCATE, our_fd(fd), REAL(ftruncate)(fd, size)); }
int ftruncate64(int fd, off64_t size) { SIMPLE(TRUNCATE, our_fd(fd), REAL(ftruncate64)(fd, size)); }
int truncate(const char *path, off_t size) { SIMPLE(TRUNCATE, ours(path), REAL(truncate)(path, size)); }
int truncate64(const char *path, off64_t size) { SIMPLE(TRUNCATE, ours(path), REAL(truncate64)(path, size)); }
int rename(const char *from, const char *to) { SIMPLE(RENAME, ours(to), REAL(rename)(from, to)); }
int renameat(int a, const char *from, int b, const char *to) { SIMPLE(RENAME, ours(to), REAL(renameat)(a, from, b, to)); }
int unlink(const char *path) { SIMPLE(UNLINK, ours(path), REAL(unlink)(path)); }
int unlinkat(int at, const char *path, int flags) { SIMPLE(UNLINK, ours(path), REAL(unlinkat)(at, path, flags)); }
int mkdir(const char *path, mode_t mode) { SIMPLE(MKDIR, ours(path), REAL(mkdir)(path, mode)); }
int mkdirat(int at, const char *path, mode_t mode) { SIMPLE(MKDIR, ours(path), REAL(mkdirat)(at, path, mode)); }
int stat(const char *path, struct stat *into) { SIMPLE(STAT, ours(path), REAL(stat)(path, into)); }
int stat64(const char *path, struct stat64 *into) { SIMPLE(STAT, ours(path), REAL(stat64)(path, into)); }
int fstat(int fd, struct stat *into) { SIMPLE(STAT, our_fd(fd), REAL(fstat)(fd, into)); }
int fstat64(int fd, struct stat64 *into) { SIMPLE(STAT, our_fd(fd), REAL(fstat64)(fd, into)); }

int close(int fd) {
    if (our_fd(fd) && strikes(CLOSE)) {
        (void)REAL(close)(fd); /* Linux lets go of the descriptor whatever close returns */
        return fail();
    }
    return REAL(close)(fd);
}

void *opendir(const char *path) {
    if (ours(path) && strikes(LIST)) {
        errno = control->error;
        return NULL;
    }
    return ((void *(*)(const char *))real_opendir())(path);
}

#define MAPPED(name, offset_type) \
    void *name(void *at, size_t size, int protection, int flags, int fd, offset_type offset) { \
        if (fd >= 0 && our_fd(fd) && strikes(MAP)) { \
            errno = control->error; \
            return MAP_FAILED; \
        } \
        return REAL(name)(at, size, protection, flags, fd, offset); \
    }
MAPPED(mmap, off_t)
MAPPED(mmap64, off64_t)

#define OPENED(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        SIMPLE(OPEN, ours(path), REAL(name)(path, flags, mode)); \
    }
OPENED(open)
OPENED(open64)

#define OPENED_AT(name) \
    int name(int at, const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        SIMPLE(OPEN, ours(path), REAL(name)(at, path, flags, mode)); \
    }
OPENED_AT(openat)
OPENED_AT(openat64)

#define CONTROLLED(name) \
    int name(int fd, int command, ...) { \
        va_list rest; \
        va_start(rest, command); \
        void *argument = va_arg(rest, void *); \
        va_end(rest); \
        SIMPLE(DUP, (command == F_DUPFD || command == F_DUPFD_CLOEXEC) && our_fd(fd), \
               REAL(name)(fd, command, argument)); \
    }
CONTROLLED(fcntl)
CONTROLLED(fcntl64)
