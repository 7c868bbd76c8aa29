// What the stress programs share: the way out at a forbidden outcome, and numbers at random that a seed repeats.
#ifndef TOCSIN_TESTS_STRESS_HPP
#define TOCSIN_TESTS_STRESS_HPP

#include <cstdint>
#include <cstdio>
#include <cstdlib>

// Ends the program with code 1 and a line that names the outcome and the two numbers that show it.
[[noreturn]] inline void forbidden(const char *what, int64_t a, int64_t b) {
    std::fprintf(stderr, "FORBIDDEN %s: %lld, %lld\n", what, static_cast<long long>(a), static_cast<long long>(b));
    std::_Exit(1);
}

// The step of splitmix64 (Steele, Lea, Flood 2014).
inline uint64_t mixed(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

#endif
