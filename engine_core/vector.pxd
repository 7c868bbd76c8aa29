"""Declarations of vector.hpp: the column-wise loops of the expression kernel."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t


cdef extern from "vector.hpp" namespace "tocsin" nogil:
    struct Str:
        const uint8_t *data
        int64_t size

    void compare_i64(int, const int64_t *, const int64_t *, bint, int64_t, uint8_t *) noexcept
    void compare_u64(int, const uint64_t *, const uint64_t *, bint, int64_t, uint8_t *) noexcept
    void compare_f64(int, const double *, const double *, bint, int64_t, uint8_t *) noexcept
    void compare_u8(int, const uint8_t *, const uint8_t *, bint, int64_t, uint8_t *) noexcept
    void compare_i32(int, const int32_t *, const int32_t *, bint, int64_t, uint8_t *) noexcept
    void compare_u64_i64(int, const uint64_t *, const int64_t *, bint, int64_t, uint8_t *) noexcept
    void compare_str(int, const Str *, const Str *, bint, int64_t, const uint8_t *, uint8_t *) noexcept
    int compare_sign_str(const Str &, const Str &) noexcept

    void arithmetic_f64(int, const double *, const double *, bint, int64_t, double *) noexcept
    int arithmetic_i64(int, const int64_t *, const int64_t *, bint, int64_t, const uint8_t *, uint8_t *,
                       int64_t *) noexcept
    int arithmetic_u64(int, const uint64_t *, const uint64_t *, bint, int64_t, const uint8_t *, uint8_t *,
                       uint64_t *) noexcept

    void and_bytes(const uint8_t *, const uint8_t *, int64_t, uint8_t *) noexcept
    void or_bytes(const uint8_t *, const uint8_t *, int64_t, uint8_t *) noexcept
    void not_bytes(const uint8_t *, int64_t, uint8_t *) noexcept
    void mask_or_u8(const uint8_t *, int, int64_t, uint8_t *) noexcept
    void mask_or_u64(const uint8_t *, int, int64_t, uint64_t *) noexcept
    void kleene(bint, const uint8_t *, const uint8_t *, const uint8_t *, const uint8_t *, const uint8_t *,
                const uint8_t *, int64_t, uint8_t *, uint8_t *, uint8_t *) noexcept

    void load_i8(const void *, int64_t, int64_t, int64_t *) noexcept
    void load_i16(const void *, int64_t, int64_t, int64_t *) noexcept
    void load_i32(const void *, int64_t, int64_t, int64_t *) noexcept
    void load_u8(const void *, int64_t, int64_t, int64_t *) noexcept
    void load_u16(const void *, int64_t, int64_t, int64_t *) noexcept
    void load_u32(const void *, int64_t, int64_t, int64_t *) noexcept
    void load_f32(const void *, int64_t, int64_t, double *) noexcept
    void load_bits(const uint8_t *, int64_t, int64_t, uint8_t *) noexcept
    void cast_i64_f64(const int64_t *, int64_t, double *) noexcept
    void cast_u64_f64(const uint64_t *, int64_t, double *) noexcept

    bint narrow_f64(const double *, int64_t, int64_t, int64_t, int64_t *, uint8_t *) noexcept
    bint narrow_i64(const int64_t *, int64_t, int64_t, int64_t, int64_t *, uint8_t *) noexcept
    bint narrow_u64(const uint64_t *, int64_t, int64_t, int64_t *, uint8_t *) noexcept
    void choose_u8(const uint8_t *, const uint8_t *, const uint8_t *, int64_t, uint8_t *) noexcept
    void choose_u64(const uint8_t *, const uint64_t *, const uint64_t *, int64_t, uint64_t *) noexcept
    void choose_str(const uint8_t *, const Str *, const Str *, int64_t, Str *) noexcept
    void choose_flags(const uint8_t *, const uint8_t *, const uint8_t *, uint8_t, int64_t, uint8_t *) noexcept
    void fault_over(const uint8_t *, int64_t, uint8_t *, uint8_t *) noexcept
    void math_f64(int, const double *, int64_t, double *) noexcept
    void math2_f64(int, const double *, const double *, int64_t, double *) noexcept
    bint math_i64(int, const int64_t *, const int64_t *, bint, int64_t, int64_t *) noexcept
    int math_i64_fault(int, int64_t, int64_t) noexcept

    int64_t select_rows(const uint8_t *, int64_t, int32_t, int32_t *) noexcept
    int64_t first_fall(const int64_t *, int64_t, int64_t) noexcept
