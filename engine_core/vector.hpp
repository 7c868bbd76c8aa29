// Column-wise loops of the expression kernel: one call handles a chunk of rows of one type.
//
// What       comparisons, arithmetic, three-valued logic, and the conversion of Arrow values to the four
//            types the kernel computes in (int64, uint64, double, byte strings; booleans are one byte 0/1).
// Layout     a vector is `data` (one value per row) with `valid` (one byte per row, or NULL: all valid). Where a
//            row is not valid its value is unspecified but initialised, and comparisons there give 0.
// Instruction sets  TOCSIN_CLONES makes GCC compile a loop for AVX-512, AVX2 and the baseline and choose
//            when the module is loaded; elsewhere the compiler's baseline is used.
// Faults     integer overflow and division by zero do not stop a loop: the row gets valid = 0 and err = 1,
//            and the return value says that there was one. expression.pyx works out whether it matters.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define TOCSIN_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TOCSIN_CLONES
#endif

#if defined(_MSC_VER)
#define TOCSIN_RESTRICT __restrict
#define TOCSIN_INLINE __forceinline
#else
#define TOCSIN_RESTRICT __restrict__
#define TOCSIN_INLINE inline __attribute__((always_inline))
#endif

namespace tocsin {

struct Str {
  const uint8_t *data;
  int64_t size;
};

enum Comparison { CMP_EQ = 0, CMP_NE = 1, CMP_LT = 2, CMP_LE = 3, CMP_GT = 4, CMP_GE = 5 };
enum Arithmetic { AR_ADD = 0, AR_SUB = 1, AR_MUL = 2, AR_DIV = 3, AR_MOD = 4 };

// ---------------------------------------------------------------- comparisons

template <int OP, class A, class B>
static TOCSIN_INLINE uint8_t compare_one(A a, B b) {
  if (OP == CMP_EQ) return a == b;
  if (OP == CMP_NE) return a != b;
  if (OP == CMP_LT) return a < b;
  if (OP == CMP_LE) return a <= b;
  if (OP == CMP_GT) return a > b;
  return a >= b;
}

// PERF: the scalar form keeps the constant in a register; with both operands in memory the loop reads twice as much.
template <int OP, class T>
static TOCSIN_INLINE void compare_loop(const T *TOCSIN_RESTRICT a, const T *TOCSIN_RESTRICT b, bool b_scalar,
                                       int64_t n, uint8_t *TOCSIN_RESTRICT out) {
  if (b_scalar) {
    const T k = b[0];
    for (int64_t i = 0; i < n; i++) out[i] = compare_one<OP>(a[i], k);
  } else {
    for (int64_t i = 0; i < n; i++) out[i] = compare_one<OP>(a[i], b[i]);
  }
}

template <class T>
static TOCSIN_INLINE void compare_any(int op, const T *a, const T *b, bool b_scalar, int64_t n, uint8_t *out) {
  switch (op) {
    case CMP_EQ: compare_loop<CMP_EQ>(a, b, b_scalar, n, out); break;
    case CMP_NE: compare_loop<CMP_NE>(a, b, b_scalar, n, out); break;
    case CMP_LT: compare_loop<CMP_LT>(a, b, b_scalar, n, out); break;
    case CMP_LE: compare_loop<CMP_LE>(a, b, b_scalar, n, out); break;
    case CMP_GT: compare_loop<CMP_GT>(a, b, b_scalar, n, out); break;
    default: compare_loop<CMP_GE>(a, b, b_scalar, n, out); break;
  }
}

TOCSIN_CLONES static void compare_i64(int op, const int64_t *a, const int64_t *b, bool b_scalar, int64_t n,
                                      uint8_t *out) noexcept {
  compare_any<int64_t>(op, a, b, b_scalar, n, out);
}
TOCSIN_CLONES static void compare_u64(int op, const uint64_t *a, const uint64_t *b, bool b_scalar, int64_t n,
                                      uint8_t *out) noexcept {
  compare_any<uint64_t>(op, a, b, b_scalar, n, out);
}
TOCSIN_CLONES static void compare_f64(int op, const double *a, const double *b, bool b_scalar, int64_t n,
                                      uint8_t *out) noexcept {
  compare_any<double>(op, a, b, b_scalar, n, out);
}
TOCSIN_CLONES static void compare_u8(int op, const uint8_t *a, const uint8_t *b, bool b_scalar, int64_t n,
                                     uint8_t *out) noexcept {
  compare_any<uint8_t>(op, a, b, b_scalar, n, out);
}
// int32 columns against a constant that fits in 32 bits skip the widening copy.
TOCSIN_CLONES static void compare_i32(int op, const int32_t *a, const int32_t *b, bool b_scalar, int64_t n,
                                      uint8_t *out) noexcept {
  compare_any<int32_t>(op, a, b, b_scalar, n, out);
}

// uint64 against int64, exactly: a negative right side is below everything.
static inline int compare_sign_u64_i64(uint64_t a, int64_t b) noexcept {
  if (b < 0 || a > static_cast<uint64_t>(b)) return 1;
  return a < static_cast<uint64_t>(b) ? -1 : 0;
}
static inline int compare_sign_str(const Str &a, const Str &b) noexcept {
  const int64_t n = a.size < b.size ? a.size : b.size;
  const int c = n ? std::memcmp(a.data, b.data, static_cast<size_t>(n)) : 0;
  if (c) return c < 0 ? -1 : 1;
  return a.size < b.size ? -1 : (a.size > b.size ? 1 : 0);
}
static inline uint8_t compare_sign(int op, int sign) noexcept {
  switch (op) {
    case CMP_EQ: return sign == 0;
    case CMP_NE: return sign != 0;
    case CMP_LT: return sign < 0;
    case CMP_LE: return sign <= 0;
    case CMP_GT: return sign > 0;
    default: return sign >= 0;
  }
}
static inline void compare_u64_i64(int op, const uint64_t *a, const int64_t *b, bool b_scalar, int64_t n,
                                   uint8_t *out) noexcept {
  for (int64_t i = 0; i < n; i++) out[i] = compare_sign(op, compare_sign_u64_i64(a[i], b[b_scalar ? 0 : i]));
}
static inline void compare_str(int op, const Str *a, const Str *b, bool b_scalar, int64_t n, const uint8_t *valid,
                               uint8_t *out) noexcept {
  if (op == CMP_EQ || op == CMP_NE) {  // the size settles most rows without a look at the bytes
    const uint8_t same = op == CMP_EQ;
    for (int64_t i = 0; i < n; i++) {
      const Str &y = b[b_scalar ? 0 : i];
      if (valid && !valid[i]) { out[i] = 0; continue; }
      out[i] = (a[i].size == y.size && (y.size == 0 || std::memcmp(a[i].data, y.data, y.size) == 0)) == same;
    }
    return;
  }
  for (int64_t i = 0; i < n; i++)
    out[i] = (valid && !valid[i]) ? 0 : compare_sign(op, compare_sign_str(a[i], b[b_scalar ? 0 : i]));
}

// ---------------------------------------------------------------- arithmetic

template <int OP>
static TOCSIN_INLINE double arithmetic_f64_one(double a, double b) {
  if (OP == AR_ADD) return a + b;
  if (OP == AR_SUB) return a - b;
  if (OP == AR_MUL) return a * b;
  if (OP == AR_DIV) return a / b;
  return std::fmod(a, b);
}
template <int OP>
static TOCSIN_INLINE void arithmetic_f64_loop(const double *TOCSIN_RESTRICT a, const double *TOCSIN_RESTRICT b,
                                              bool b_scalar, int64_t n, double *TOCSIN_RESTRICT out) {
  if (b_scalar) {
    const double k = b[0];
    for (int64_t i = 0; i < n; i++) out[i] = arithmetic_f64_one<OP>(a[i], k);
  } else {
    for (int64_t i = 0; i < n; i++) out[i] = arithmetic_f64_one<OP>(a[i], b[i]);
  }
}
TOCSIN_CLONES static void arithmetic_f64(int op, const double *a, const double *b, bool b_scalar, int64_t n,
                                         double *out) noexcept {
  switch (op) {
    case AR_ADD: arithmetic_f64_loop<AR_ADD>(a, b, b_scalar, n, out); break;
    case AR_SUB: arithmetic_f64_loop<AR_SUB>(a, b, b_scalar, n, out); break;
    case AR_MUL: arithmetic_f64_loop<AR_MUL>(a, b, b_scalar, n, out); break;
    case AR_DIV: arithmetic_f64_loop<AR_DIV>(a, b, b_scalar, n, out); break;
    default: arithmetic_f64_loop<AR_MOD>(a, b, b_scalar, n, out); break;
  }
}

#if defined(__GNUC__)
template <class T> static TOCSIN_INLINE bool checked_add(T a, T b, T *r) { return __builtin_add_overflow(a, b, r); }
template <class T> static TOCSIN_INLINE bool checked_sub(T a, T b, T *r) { return __builtin_sub_overflow(a, b, r); }
template <class T> static TOCSIN_INLINE bool checked_mul(T a, T b, T *r) { return __builtin_mul_overflow(a, b, r); }
#else
template <class T> static inline bool checked_add(T a, T b, T *r) {
  using L = std::numeric_limits<T>;
  *r = static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  return b >= 0 ? a > L::max() - b : a < L::min() - b;
}
template <class T> static inline bool checked_sub(T a, T b, T *r) {
  using L = std::numeric_limits<T>;
  *r = static_cast<T>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
  if (L::min() == 0) return a < b;
  return b >= 0 ? a < L::min() + b : a > L::max() + b;
}
template <class T> static inline bool checked_mul(T a, T b, T *r) {
  using L = std::numeric_limits<T>;
  *r = static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  if (a == 0 || b == 0) return false;
  if (L::min() == 0) return a > L::max() / b;
  if (a == static_cast<T>(-1)) return b == L::min();
  if (b == static_cast<T>(-1)) return a == L::min();
  if ((a > 0) == (b > 0)) return a > 0 ? a > L::max() / b : a < L::max() / b;
  return a > 0 ? b < L::min() / a : a < L::min() / b;
}
#endif

// One checked integer operation; 0 fine, 1 overflow, 2 division by zero.
template <class T>
static TOCSIN_INLINE int arithmetic_int_one(int op, T a, T b, T *r) {
  switch (op) {
    case AR_ADD: return checked_add<T>(a, b, r);
    case AR_SUB: return checked_sub<T>(a, b, r);
    case AR_MUL: return checked_mul<T>(a, b, r);
    default:
      *r = 0;
      if (b == 0) return 2;
      if (std::numeric_limits<T>::min() != 0 && b == static_cast<T>(-1)) {
        if (op == AR_MOD) return 0;
        return checked_sub<T>(0, a, r);
      }
      *r = op == AR_DIV ? a / b : a % b;
      return 0;
  }
}

// Additions and subtractions without a branch: the sign trick finds an overflow of the whole chunk at once.
template <int OP>
static TOCSIN_INLINE uint64_t add_i64_loop(const int64_t *TOCSIN_RESTRICT a, const int64_t *TOCSIN_RESTRICT b,
                                           bool b_scalar, int64_t n, int64_t *TOCSIN_RESTRICT out) {
  uint64_t bad = 0;
  if (b_scalar) {
    const uint64_t y = static_cast<uint64_t>(b[0]);
    for (int64_t i = 0; i < n; i++) {
      const uint64_t x = static_cast<uint64_t>(a[i]);
      const uint64_t r = OP == AR_ADD ? x + y : x - y;
      bad |= OP == AR_ADD ? (x ^ r) & (y ^ r) : (x ^ y) & (x ^ r);
      out[i] = static_cast<int64_t>(r);
    }
  } else {
    for (int64_t i = 0; i < n; i++) {
      const uint64_t x = static_cast<uint64_t>(a[i]), y = static_cast<uint64_t>(b[i]);
      const uint64_t r = OP == AR_ADD ? x + y : x - y;
      bad |= OP == AR_ADD ? (x ^ r) & (y ^ r) : (x ^ y) & (x ^ r);
      out[i] = static_cast<int64_t>(r);
    }
  }
  return bad >> 63;
}
TOCSIN_CLONES static uint64_t add_i64(const int64_t *a, const int64_t *b, bool b_scalar, int64_t n,
                                      int64_t *out) noexcept {
  return add_i64_loop<AR_ADD>(a, b, b_scalar, n, out);
}
TOCSIN_CLONES static uint64_t sub_i64(const int64_t *a, const int64_t *b, bool b_scalar, int64_t n,
                                      int64_t *out) noexcept {
  return add_i64_loop<AR_SUB>(a, b, b_scalar, n, out);
}

// Integer arithmetic of a chunk. `valid` (may be NULL) says which rows count; `err` (may be NULL: only detect)
// gets 1 where a valid row faulted. Returns 0, or the first fault's code (1 overflow, 2 division by zero).
template <class T>
static TOCSIN_INLINE int arithmetic_int(int op, const T *a, const T *b, bool b_scalar, int64_t n, const uint8_t *valid,
                                        uint8_t *err, T *out) {
  int code = 0;
  for (int64_t i = 0; i < n; i++) {
    T r = 0;
    const int c = arithmetic_int_one<T>(op, a[i], b[b_scalar ? 0 : i], &r);
    out[i] = r;
    if (c && (!valid || valid[i])) {
      if (!code) code = c;
      if (err) err[i] = static_cast<uint8_t>(c);
    }
  }
  return code;
}
static inline int arithmetic_i64(int op, const int64_t *a, const int64_t *b, bool b_scalar, int64_t n,
                                 const uint8_t *valid, uint8_t *err, int64_t *out) noexcept {
  // An overflow in a row that is null does not count, so a hit in the quick loop is looked at row by row.
  if (op == AR_ADD && !add_i64(a, b, b_scalar, n, out)) return 0;
  if (op == AR_SUB && !sub_i64(a, b, b_scalar, n, out)) return 0;
  return arithmetic_int<int64_t>(op, a, b, b_scalar, n, valid, err, out);
}
static inline int arithmetic_u64(int op, const uint64_t *a, const uint64_t *b, bool b_scalar, int64_t n,
                                 const uint8_t *valid, uint8_t *err, uint64_t *out) noexcept {
  return arithmetic_int<uint64_t>(op, a, b, b_scalar, n, valid, err, out);
}

// ---------------------------------------------------------------- logic on bytes 0/1

TOCSIN_CLONES static void and_bytes(const uint8_t *TOCSIN_RESTRICT a, const uint8_t *TOCSIN_RESTRICT b, int64_t n,
                                    uint8_t *TOCSIN_RESTRICT out) noexcept {
  for (int64_t i = 0; i < n; i++) out[i] = a[i] & b[i];
}
TOCSIN_CLONES static void or_bytes(const uint8_t *TOCSIN_RESTRICT a, const uint8_t *TOCSIN_RESTRICT b, int64_t n,
                                   uint8_t *TOCSIN_RESTRICT out) noexcept {
  for (int64_t i = 0; i < n; i++) out[i] = a[i] | b[i];
}
TOCSIN_CLONES static void not_bytes(const uint8_t *TOCSIN_RESTRICT a, int64_t n,
                                    uint8_t *TOCSIN_RESTRICT out) noexcept {
  for (int64_t i = 0; i < n; i++) out[i] = a[i] ^ 1;
}
// mask[i] |= (value and known) << bit
TOCSIN_CLONES static void mask_or_u8(const uint8_t *TOCSIN_RESTRICT value, int bit, int64_t n,
                                     uint8_t *TOCSIN_RESTRICT mask) noexcept {
  for (int64_t i = 0; i < n; i++) mask[i] |= static_cast<uint8_t>(value[i] << bit);
}
TOCSIN_CLONES static void mask_or_u64(const uint8_t *TOCSIN_RESTRICT value, int bit, int64_t n,
                                      uint64_t *TOCSIN_RESTRICT mask) noexcept {
  for (int64_t i = 0; i < n; i++) mask[i] |= static_cast<uint64_t>(value[i]) << bit;
}

static inline uint8_t flag(const uint8_t *v, int64_t i) noexcept { return v ? v[i] : 1; }
static inline uint8_t fault_of(const uint8_t *e, int64_t i) noexcept { return e ? e[i] : 0; }

// Three-valued AND / OR (Kleene): `is_or` chooses. A side that settles the row hides the other's NULL or fault.
static inline void kleene(bool is_or, const uint8_t *a, const uint8_t *av, const uint8_t *ae, const uint8_t *b,
                          const uint8_t *bv, const uint8_t *be, int64_t n, uint8_t *out, uint8_t *valid,
                          uint8_t *err) noexcept {
  const uint8_t settle = is_or ? 1 : 0;
  for (int64_t i = 0; i < n; i++) {
    const bool known_a = flag(av, i), known_b = flag(bv, i);
    const bool settled = (known_a && a[i] == settle) || (known_b && b[i] == settle);
    out[i] = settled ? settle : static_cast<uint8_t>((known_a && known_b) ? !settle : 0);
    valid[i] = settled || (known_a && known_b);
    if (err) err[i] = settled ? 0 : (fault_of(ae, i) ? fault_of(ae, i) : fault_of(be, i));
  }
}

// ---------------------------------------------------------------- loading

template <class S, class T>
static TOCSIN_INLINE void widen(const void *source, int64_t start, int64_t n, T *TOCSIN_RESTRICT out) {
  const S *TOCSIN_RESTRICT s = static_cast<const S *>(source) + start;
  for (int64_t i = 0; i < n; i++) out[i] = static_cast<T>(s[i]);
}
TOCSIN_CLONES static void load_i8(const void *s, int64_t at, int64_t n, int64_t *out) noexcept { widen<int8_t>(s, at, n, out); }
TOCSIN_CLONES static void load_i16(const void *s, int64_t at, int64_t n, int64_t *out) noexcept { widen<int16_t>(s, at, n, out); }
TOCSIN_CLONES static void load_i32(const void *s, int64_t at, int64_t n, int64_t *out) noexcept { widen<int32_t>(s, at, n, out); }
TOCSIN_CLONES static void load_u8(const void *s, int64_t at, int64_t n, int64_t *out) noexcept { widen<uint8_t>(s, at, n, out); }
TOCSIN_CLONES static void load_u16(const void *s, int64_t at, int64_t n, int64_t *out) noexcept { widen<uint16_t>(s, at, n, out); }
TOCSIN_CLONES static void load_u32(const void *s, int64_t at, int64_t n, int64_t *out) noexcept { widen<uint32_t>(s, at, n, out); }
TOCSIN_CLONES static void load_f32(const void *s, int64_t at, int64_t n, double *out) noexcept { widen<float>(s, at, n, out); }

// `n` bits from bit `start` as bytes 0/1.
TOCSIN_CLONES static void load_bits(const uint8_t *bits, int64_t start, int64_t n, uint8_t *out) noexcept {
  for (int64_t i = 0; i < n; i++) {
    const int64_t at = start + i;
    out[i] = (bits[at >> 3] >> (at & 7)) & 1;
  }
}

TOCSIN_CLONES static void cast_i64_f64(const int64_t *TOCSIN_RESTRICT a, int64_t n, double *TOCSIN_RESTRICT out) noexcept {
  for (int64_t i = 0; i < n; i++) out[i] = static_cast<double>(a[i]);
}
TOCSIN_CLONES static void cast_u64_f64(const uint64_t *TOCSIN_RESTRICT a, int64_t n, double *TOCSIN_RESTRICT out) noexcept {
  for (int64_t i = 0; i < n; i++) out[i] = static_cast<double>(a[i]);
}

// Casts to an integer in [low, high]; doubles are rounded, halves away from zero. `fits` gets 1 where the value is in
// range, `out` 0 where it is not. Returns whether all fit (rows that are null included).
TOCSIN_CLONES static bool narrow_f64(const double *TOCSIN_RESTRICT a, int64_t low, int64_t high, int64_t n,
                                     int64_t *TOCSIN_RESTRICT out, uint8_t *TOCSIN_RESTRICT fits) noexcept {
  // As a double, high may round up to high + 1, which does not fit: the bounds exclude it.
  const double least = static_cast<double>(low) - (low == std::numeric_limits<int64_t>::min() ? 0.0 : 0.5);
  const double most = high == std::numeric_limits<int64_t>::max() ? 9223372036854775808.0 : static_cast<double>(high) + 0.5;
  const bool open = low != std::numeric_limits<int64_t>::min();  // -0.5 below the least rounds away from zero, too
  uint8_t all = 1;
  for (int64_t i = 0; i < n; i++) {
    const uint8_t ok = (open ? a[i] > least : a[i] >= least) & (a[i] < most);
    const double x = ok ? a[i] : 0.0;
    const double whole = std::trunc(x), rest = x - whole;
    out[i] = static_cast<int64_t>(whole) + (rest >= 0.5) - (rest <= -0.5);
    fits[i] = ok;
    all &= ok;
  }
  return all;
}
TOCSIN_CLONES static bool narrow_i64(const int64_t *TOCSIN_RESTRICT a, int64_t low, int64_t high, int64_t n,
                                     int64_t *TOCSIN_RESTRICT out, uint8_t *TOCSIN_RESTRICT fits) noexcept {
  uint8_t all = 1;
  for (int64_t i = 0; i < n; i++) {
    const uint8_t ok = (a[i] >= low) & (a[i] <= high);
    out[i] = ok ? a[i] : 0;
    fits[i] = ok;
    all &= ok;
  }
  return all;
}
TOCSIN_CLONES static bool narrow_u64(const uint64_t *TOCSIN_RESTRICT a, int64_t high, int64_t n,
                                     int64_t *TOCSIN_RESTRICT out, uint8_t *TOCSIN_RESTRICT fits) noexcept {
  uint8_t all = 1;
  for (int64_t i = 0; i < n; i++) {
    const uint8_t ok = a[i] <= static_cast<uint64_t>(high);
    out[i] = ok ? static_cast<int64_t>(a[i]) : 0;
    fits[i] = ok;
    all &= ok;
  }
  return all;
}

// ---------------------------------------------------------------- choices

template <class T>
static TOCSIN_INLINE void choose_loop(const uint8_t *TOCSIN_RESTRICT pick, const T *yes, const T *no, int64_t n,
                                      T *TOCSIN_RESTRICT out) {
  for (int64_t i = 0; i < n; i++) out[i] = pick[i] ? yes[i] : no[i];
}
TOCSIN_CLONES static void choose_u8(const uint8_t *pick, const uint8_t *yes, const uint8_t *no, int64_t n,
                                    uint8_t *out) noexcept {
  choose_loop<uint8_t>(pick, yes, no, n, out);
}
TOCSIN_CLONES static void choose_u64(const uint8_t *pick, const uint64_t *yes, const uint64_t *no, int64_t n,
                                     uint64_t *out) noexcept {
  choose_loop<uint64_t>(pick, yes, no, n, out);
}
static inline void choose_str(const uint8_t *pick, const Str *yes, const Str *no, int64_t n, Str *out) noexcept {
  choose_loop<Str>(pick, yes, no, n, out);
}
// Bytes of which either side may be missing: then `all` stands for every row of it.
static inline void choose_flags(const uint8_t *pick, const uint8_t *yes, const uint8_t *no, uint8_t all, int64_t n,
                                uint8_t *out) noexcept {
  for (int64_t i = 0; i < n; i++) {
    const uint8_t *side = pick[i] ? yes : no;
    out[i] = side ? side[i] : all;
  }
}
// A faulty row of `err` is faulty in the result, which has no value there.
static inline void fault_over(const uint8_t *err, int64_t n, uint8_t *out, uint8_t *valid) noexcept {
  for (int64_t i = 0; i < n; i++)
    if (err[i]) {
      out[i] = err[i];
      valid[i] = 0;
    }
}

// ---------------------------------------------------------------- functions

enum Math {
  M_ABS = 0, M_SIGN, M_FLOOR, M_CEIL, M_ROUND, M_TRUNC, M_SQRT, M_CBRT, M_EXP, M_LN, M_LOG10, M_LOG2, M_SIN, M_COS,
  M_TAN, M_ASIN, M_ACOS, M_ATAN, M_SINH, M_COSH, M_TANH, M_DEGREES, M_RADIANS, M_FLOAT32,
  M_POWER = 32, M_ATAN2, M_ROUND_TO, M_TRUNC_TO, M_FLOOR_DIV, M_FLOOR_MOD
};

// Halves away from zero, exactly: x - trunc(x) has no rounding error.
static TOCSIN_INLINE double round_away(double x) {
  const double whole = std::trunc(x), rest = x - whole;
  return std::copysign(whole + static_cast<double>((rest >= 0.5) - (rest <= -0.5)), x);   // PERF: without a branch
}
// To `digits` places behind the point (before it, if negative). What has no more places stays as it is.
static inline double digits_of(double x, double digits, bool rounds) {
  const double power = std::pow(10.0, std::fabs(digits));
  if (!std::isfinite(x) || std::isnan(digits)) return digits != digits ? digits : x;
  if (std::isinf(power)) return digits > 0 ? x : std::copysign(0.0, x);
  const double scaled = digits >= 0 ? x * power : x / power;
  if (!std::isfinite(scaled)) return x;
  const double near = round_away(scaled), back = digits >= 0 ? near / power : near * power;
  if (rounds || back == x) return std::isfinite(back) ? back : x;
  const double cut = std::trunc(scaled);
  return digits >= 0 ? cut / power : cut * power;
}

template <int OP>
static TOCSIN_INLINE double math_one(double x) {
  switch (OP) {
    case M_ABS: return std::fabs(x);
    case M_SIGN: return x > 0 ? 1.0 : (x < 0 ? -1.0 : x);
    case M_FLOOR: return std::floor(x);
    case M_CEIL: return std::ceil(x);
    case M_ROUND: return round_away(x);
    case M_TRUNC: return std::trunc(x);
    case M_SQRT: return std::sqrt(x);
    case M_CBRT: return std::cbrt(x);
    case M_EXP: return std::exp(x);
    case M_LN: return std::log(x);
    case M_LOG10: return std::log10(x);
    case M_LOG2: return std::log2(x);
    case M_SIN: return std::sin(x);
    case M_COS: return std::cos(x);
    case M_TAN: return std::tan(x);
    case M_ASIN: return std::asin(x);
    case M_ACOS: return std::acos(x);
    case M_ATAN: return std::atan(x);
    case M_SINH: return std::sinh(x);
    case M_COSH: return std::cosh(x);
    case M_TANH: return std::tanh(x);
    case M_DEGREES: return x * 57.29577951308232;
    case M_RADIANS: return x * 0.017453292519943295;
    default: return static_cast<double>(static_cast<float>(x));
  }
}
template <int OP>
static TOCSIN_INLINE void math_loop(const double *TOCSIN_RESTRICT a, int64_t n, double *TOCSIN_RESTRICT out) {
  for (int64_t i = 0; i < n; i++) out[i] = math_one<OP>(a[i]);
}
TOCSIN_CLONES static void math_f64(int op, const double *a, int64_t n, double *out) noexcept {
  switch (op) {
    case M_ABS: math_loop<M_ABS>(a, n, out); break;
    case M_SIGN: math_loop<M_SIGN>(a, n, out); break;
    case M_FLOOR: math_loop<M_FLOOR>(a, n, out); break;
    case M_CEIL: math_loop<M_CEIL>(a, n, out); break;
    case M_ROUND: math_loop<M_ROUND>(a, n, out); break;
    case M_TRUNC: math_loop<M_TRUNC>(a, n, out); break;
    case M_SQRT: math_loop<M_SQRT>(a, n, out); break;
    case M_CBRT: math_loop<M_CBRT>(a, n, out); break;
    case M_EXP: math_loop<M_EXP>(a, n, out); break;
    case M_LN: math_loop<M_LN>(a, n, out); break;
    case M_LOG10: math_loop<M_LOG10>(a, n, out); break;
    case M_LOG2: math_loop<M_LOG2>(a, n, out); break;
    case M_SIN: math_loop<M_SIN>(a, n, out); break;
    case M_COS: math_loop<M_COS>(a, n, out); break;
    case M_TAN: math_loop<M_TAN>(a, n, out); break;
    case M_ASIN: math_loop<M_ASIN>(a, n, out); break;
    case M_ACOS: math_loop<M_ACOS>(a, n, out); break;
    case M_ATAN: math_loop<M_ATAN>(a, n, out); break;
    case M_SINH: math_loop<M_SINH>(a, n, out); break;
    case M_COSH: math_loop<M_COSH>(a, n, out); break;
    case M_TANH: math_loop<M_TANH>(a, n, out); break;
    case M_DEGREES: math_loop<M_DEGREES>(a, n, out); break;
    case M_RADIANS: math_loop<M_RADIANS>(a, n, out); break;
    default: math_loop<M_FLOAT32>(a, n, out); break;
  }
}
static inline void math2_f64(int op, const double *a, const double *b, int64_t n, double *out) noexcept {
  for (int64_t i = 0; i < n; i++) {
    if (op == M_POWER) out[i] = std::pow(a[i], b[i]);
    else if (op == M_ATAN2) out[i] = std::atan2(a[i], b[i]);
    else out[i] = digits_of(a[i], b[i], op == M_ROUND_TO);
  }
}

// 0 fine, 1 overflow, 2 the divisor is not positive.
static inline int math_i64_fault(int op, int64_t a, int64_t b) noexcept {
  if (op == M_ABS) return a == std::numeric_limits<int64_t>::min();
  return (op == M_FLOOR_DIV || op == M_FLOOR_MOD) && b <= 0 ? 2 : 0;
}
static TOCSIN_INLINE int64_t floor_one(int op, int64_t a, int64_t b) {
  const int64_t quotient = a / b, rest = a % b;
  return op == M_FLOOR_DIV ? quotient - (rest < 0) : (rest < 0 ? rest + b : rest);
}
// Returns whether some row, null or not, has no value (see math_i64_fault); it gets 0.
static inline bool math_i64(int op, const int64_t *a, const int64_t *b, bool b_scalar, int64_t n, int64_t *out) noexcept {
  bool bad = false;
  if (op == M_SIGN) {
    for (int64_t i = 0; i < n; i++) out[i] = (a[i] > 0) - (a[i] < 0);
  } else if (op == M_ABS) {
    for (int64_t i = 0; i < n; i++) {
      bad |= a[i] == std::numeric_limits<int64_t>::min();
      out[i] = static_cast<int64_t>(a[i] < 0 ? 0 - static_cast<uint64_t>(a[i]) : static_cast<uint64_t>(a[i]));
    }
  } else if (b_scalar && b[0] > 0) {
    const int64_t by = b[0];
    for (int64_t i = 0; i < n; i++) out[i] = floor_one(op, a[i], by);
  } else {
    for (int64_t i = 0; i < n; i++) {
      bad |= b[i] <= 0;
      out[i] = b[i] > 0 ? floor_one(op, a[i], b[i]) : 0;
    }
  }
  return bad;
}

// ---------------------------------------------------------------- selection

// Rows (as start + position) whose byte is 1, in order; returns how many. `out` has room for n.
static inline int64_t select_rows(const uint8_t *bytes, int64_t n, int32_t start, int32_t *out) noexcept {
  int64_t k = 0, i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t w;
    std::memcpy(&w, bytes + i, 8);
    while (w) {
#if defined(__GNUC__)
      const int at = __builtin_ctzll(w) >> 3;
#else
      int at = 0;
      while (!((w >> (8 * at)) & 1)) at++;
#endif
      out[k++] = start + static_cast<int32_t>(i) + at;
      w &= w - 1;  // a byte is 0 or 1, so this clears the whole byte
    }
  }
  for (; i < n; i++)
    if (bytes[i]) out[k++] = start + static_cast<int32_t>(i);
  return k;
}

// First row whose value is below its predecessor's (`before` stands in front of row 0), or -1: all in order.
TOCSIN_CLONES static int64_t any_fall(const int64_t *v, int64_t n) noexcept {
  int64_t bad = 0;
  for (int64_t i = 1; i < n; i++) bad |= v[i] < v[i - 1];
  return bad;
}
static inline int64_t first_fall(const int64_t *v, int64_t n, int64_t before) noexcept {
  if (n == 0) return -1;
  if (v[0] < before) return 0;
  for (int64_t at = 0; at + 1 < n; at += 4095) {
    const int64_t m = n - at < 4096 ? n - at : 4096;
    if (any_fall(v + at, m))
      for (int64_t i = at + 1; i < at + m; i++)
        if (v[i] < v[i - 1]) return i;
  }
  return -1;
}

}  // namespace tocsin
