// IEEE 754 binary16 to binary64, by the layout of the standard: no compiler support for _Float16 is assumed.
#pragma once
#include <cmath>
#include <cstdint>
#include <limits>

static inline double half_to_double(uint16_t bits) noexcept {
  const int exponent = (bits >> 10) & 0x1f;
  const int mantissa = bits & 0x3ff;
  double value;
  if (exponent == 0x1f) {
    value = mantissa ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<double>(mantissa), -24);
  } else {
    value = std::ldexp(static_cast<double>(mantissa + 1024), exponent - 25);
  }
  return (bits & 0x8000) ? -value : value;
}
