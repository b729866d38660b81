// CRC-32 by carry-less products: V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", in the
// reflected form. Messages are filled with zeros in front, which a register of zero does not notice, so that their end is
// always a whole block. To be included behind the line that asks for the instructions.
#pragma once
#include <immintrin.h>

#include "gcm.h"

namespace pilotwire {
namespace {

// x^n modulo the polynomial, reflected, as a factor of 33 bits.
constexpr uint64_t crc_power(unsigned n) {
  uint32_t value = 0x80000000;
  for (; n > 0; --n) value = value >> 1 ^ (value & 1 ? 0xedb88320 : 0);
  return static_cast<uint64_t>(value) << 1;
}
static_assert(crc_power(128 + 32) == 0x1751997d0, "as in the paper");

constexpr uint64_t kCrcPolynomial = 0x1db710641;
// x^64 divided by the polynomial.
constexpr uint64_t kCrcQuotient = 0x1f7011641;

// What carries a block `bits` further.
template <unsigned bits>
inline __m128i crc_factors() {
  constexpr long long low = static_cast<long long>(crc_power(bits + 32));
  constexpr long long high = static_cast<long long>(crc_power(bits - 32));
  return _mm_set_epi64x(high, low);
}

inline __m128i crc_fold(__m128i state, __m128i factors, __m128i next) {
  const __m128i low = _mm_clmulepi64_si128(state, factors, 0x00);
  const __m128i high = _mm_clmulepi64_si128(state, factors, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

inline __m128i crc_load(const uint8_t* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }

// From the middle on: as they are. Sixteen bytes from further in front move a block up, from further behind down.
alignas(64) constexpr uint8_t kSlide[48] = {
    128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
    0,   1,   2,   3,   4,   5,   6,   7,   8,   9,   10,  11,  12,  13,  14,  15,
    128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
};

// The first 16 + `odd` bytes of a message as one block, all in registers.
inline __m128i crc32_start(const uint8_t* data, size_t odd) {
  // What a register begins with is XORed to the first four bytes, of which some may stand behind the odd ones.
  const __m128i begin = _mm_cvtsi32_si128(-1);
  const __m128i front = _mm_shuffle_epi8(_mm_xor_si128(crc_load(data), begin), crc_load(kSlide + odd));
  const __m128i back = _mm_xor_si128(crc_load(data + odd), _mm_shuffle_epi8(begin, crc_load(kSlide + 16 + odd)));
  return crc_fold(front, crc_factors<128>(), back);
}

// The rest, whole blocks, and the CRC of all.
inline uint32_t crc32_end(__m128i state, const uint8_t* data, size_t length) {
  const __m128i by_one = crc_factors<128>();
  for (; length > 0; length -= 16, data += 16) state = crc_fold(state, by_one, crc_load(data));
  const __m128i word = _mm_set_epi32(0, 0, 0, -1);
  state = _mm_xor_si128(_mm_clmulepi64_si128(state, by_one, 0x10), _mm_srli_si128(state, 8));
  constexpr long long half = static_cast<long long>(crc_power(64));
  const __m128i by_half = _mm_set_epi64x(0, half);
  state = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(state, word), by_half, 0x00), _mm_srli_si128(state, 4));
  // Barrett: the quotient first, then the remainder.
  const __m128i barrett =
      _mm_set_epi64x(static_cast<long long>(kCrcQuotient), static_cast<long long>(kCrcPolynomial));
  const __m128i quotient = _mm_clmulepi64_si128(_mm_and_si128(state, word), barrett, 0x10);
  const __m128i remainder = _mm_xor_si128(state, _mm_clmulepi64_si128(_mm_and_si128(quotient, word), barrett, 0x00));
  return ~static_cast<uint32_t>(_mm_extract_epi32(remainder, 1));
}

inline uint32_t crc32_folded(const uint8_t* data, size_t length) {
  const __m128i by_one = crc_factors<128>();
  const size_t odd = length % 16;
  __m128i first = crc32_start(data, odd);
  data += 16 + odd;
  length -= 16 + odd;
  if (length >= 48 + 64) {
    const __m128i by_four = crc_factors<4 * 128>();
    __m128i second = crc_load(data), third = crc_load(data + 16), fourth = crc_load(data + 32);
    data += 48;
    length -= 48;
    for (; length >= 64; length -= 64, data += 64) {
      first = crc_fold(first, by_four, crc_load(data));
      second = crc_fold(second, by_four, crc_load(data + 16));
      third = crc_fold(third, by_four, crc_load(data + 32));
      fourth = crc_fold(fourth, by_four, crc_load(data + 48));
    }
    first = crc_fold(crc_fold(crc_fold(first, by_one, second), by_one, third), by_one, fourth);
  }
  return crc32_end(first, data, length);
}

}  // namespace
}  // namespace pilotwire
