// Vectors of float for any CPU, and the functions of them that the kernels need.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Vector __attribute__((vector_size(4 * kLanes)));
typedef uint32_t WordVector __attribute__((vector_size(4 * kLanes)));
typedef uint16_t HalfVector __attribute__((vector_size(2 * kLanes)));
typedef float LooseVector __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));  // in memory, anywhere
typedef uint16_t LooseHalfVector __attribute__((vector_size(2 * kLanes), aligned(2), may_alias));

struct BFloat16 {
  uint16_t bits;
};

inline Vector splat(float value) { return Vector{} + value; }

inline Vector widen(const float* p) { return *(const LooseVector*)p; }
inline Vector widen(const BFloat16* p) {
  const HalfVector bits = *(const LooseHalfVector*)p;
  return (Vector)(__builtin_convertvector(bits, WordVector) << 16);
}
inline void narrow(float* p, Vector value) { *(LooseVector*)p = value; }
inline void narrow(BFloat16* p, Vector value) {
#if defined(__AVX512BF16__)
  *(LooseHalfVector*)p = (HalfVector)_mm512_cvtneps_pbh(value);
#else
  const WordVector words = (WordVector)value;
  const WordVector rounded = (words + 0x7fff + ((words >> 16) & 1)) >> 16;  // to nearest, ties to even
  *(LooseHalfVector*)p = __builtin_convertvector(rounded, HalfVector);
#endif
}

// Up to kLanes values, of which `count` exist; the others read as 0 and are not written.
template <class T>
inline Vector widen(const T* p, int64_t count) {
  if (count >= kLanes) return widen(p);
  T padded[kLanes] = {};
  if (count > 0) std::memcpy(padded, p, count * sizeof(T));
  return widen(padded);
}
template <class T>
inline void narrow(T* p, Vector value, int64_t count) {
  if (count >= kLanes) return narrow(p, value);
  T padded[kLanes];
  narrow(padded, value);
  if (count > 0) std::memcpy(p, padded, count * sizeof(T));
}

inline float total(Vector sum) {
#if defined(__GNUC__) && !defined(__clang__)
  WordVector lanes;
  for (int i = 0; i < kLanes; ++i) lanes[i] = i;
  for (int half = kLanes / 2; half; half /= 2) sum += __builtin_shuffle(sum, lanes ^ half);
  return sum[0];
#else
  float value = 0;
  for (int i = 0; i < kLanes; ++i) value += sum[i];
  return value;
#endif
}

// 1 / x to a relative error of 2e-7, without the latency of a division where the CPU has an estimate.
inline Vector reciprocal(Vector x) {
#if defined(__AVX512F__)
  const Vector estimate = _mm512_rcp14_ps(x);
  return estimate * (2.0f - x * estimate);
#else
  return 1.0f / x;
#endif
}

constexpr float kLog2E = 1.44269504088896341f, kLn2 = 0.693147180559945309f;

// 2^x to a relative error of 2e-7, 0 for what is too small for a normal number. Minimax polynomial on [-1/2, 1/2].
inline Vector exp2(Vector x) {
#if defined(__AVX512F__)
  const Vector whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  const Vector low = splat(-127.0f), high = splat(127.0f), magic = splat(12582912.0f);  // 1.5 * 2^23: rounds
  x = x < low ? low : x;
  x = x > high ? high : x;
  const Vector biased = x + magic, whole = biased - magic;
#endif
  const Vector rest = x - whole;
  Vector value = splat(1.327647199e-3f);
  value = value * rest + 9.675541334e-3f;
  value = value * rest + 5.550713273e-2f;
  value = value * rest + 2.402211972e-1f;
  value = value * rest + 6.931469671e-1f;
  value = value * rest + 1.0f;
#if defined(__AVX512F__)
  return _mm512_scalef_ps(value, whole);
#else
  const Vector power = (Vector)(((WordVector)biased + 127) << 23);  // the magic's low bits are 0: 2^whole
  return value * power;
#endif
}

// log(1 + e) / e for e in [0, 1], relative error 3e-8. Minimax polynomial.
inline Vector log1p_ratio(Vector e) {
  Vector value = splat(5.232694302e-3f);
  value = value * e - 2.950523893e-2f;
  value = value * e + 7.822595212e-2f;
  value = value * e - 1.366324581e-1f;
  value = value * e + 1.910600677e-1f;
  value = value * e - 2.484298222e-1f;
  value = value * e + 3.331909681e-1f;
  value = value * e - 4.999949314e-1f;
  return value * e + 9.999999699e-1f;
}

// log(1 + 2^x), accurate where the result is small too; `slope` is the derivative by x ln 2.
inline Vector softplus2(Vector x, Vector* slope) {
  const Vector zero = {};
  const Vector positive = x > zero ? x : zero;
  const Vector e = exp2(x - positive - positive);  // of -|x|, exactly
  if (slope) {
    const Vector inverse = reciprocal(e + 1.0f);
    *slope = x < zero ? e * inverse : inverse;
  }
  return e * log1p_ratio(e) + positive * kLn2;
}

// x sigmoid(x). The exponent is bounded, so that the quotient stays finite.
inline Vector silu(Vector x) {
  const Vector bound = splat(126.0f), exponent = x * -kLog2E;
  return x * reciprocal(1.0f + exp2(exponent > bound ? bound : exponent));
}

// x (1 + erf(x / sqrt 2)) / 2 to 2e-7 |x|; erf by Abramowitz and Stegun 7.1.26.
inline Vector gelu(Vector x) {
  const Vector magnitude = x < Vector{} ? -x : x;
  const Vector t = reciprocal(1.0f + magnitude * (0.3275911f * 0.70710678f));
  Vector tail = t * 1.061405429f - 1.453152027f;
  tail = tail * t + 1.421413741f;
  tail = tail * t - 0.284496736f;
  tail = tail * t + 0.254829592f;
  tail = tail * t * exp2(x * x * (-0.5f * kLog2E));  // 1 - erf(|x| / sqrt 2)
  return 0.5f * (x + magnitude - magnitude * tail);
}

}  // namespace
