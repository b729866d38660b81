// Four blocks in a register: VAES and VPCLMULQDQ of AVX-512.
#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,vaes,vpclmulqdq,aes,pclmul,bmi2"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,vaes,vpclmulqdq,aes,pclmul,bmi2")
#endif

#include "crc32-x86.h"
#include "gcm-algorithm.h"

namespace pilotwire {
namespace {

struct Vaes {
  using V = __m512i;
  using B = __m128i;
  static constexpr size_t kLanes = 4;
  static constexpr size_t kVectors = 4;

  static V zero() { return _mm512_setzero_si512(); }
  static B zero_block() { return _mm_setzero_si128(); }
  static V load(const uint8_t* at) { return _mm512_loadu_si512(at); }
  static void store(uint8_t* at, V v) { _mm512_storeu_si512(at, v); }
  static B load_block(const uint8_t* at) { return _mm_loadu_si128(reinterpret_cast<const B*>(at)); }
  static void store_block(uint8_t* at, B b) { _mm_storeu_si128(reinterpret_cast<B*>(at), b); }
  static __mmask64 mask(size_t bytes) { return _bzhi_u64(~0ull, static_cast<unsigned>(bytes)); }
  static V load_part(const uint8_t* at, size_t bytes) { return _mm512_maskz_loadu_epi8(mask(bytes), at); }
  static void store_part(uint8_t* at, V v, size_t bytes) { _mm512_mask_storeu_epi8(at, mask(bytes), v); }
  static V keep(V v, size_t bytes) { return _mm512_maskz_mov_epi8(mask(bytes), v); }

  static V exclusive_or(V a, V b) { return _mm512_xor_si512(a, b); }
  static B exclusive_or_block(B a, B b) { return _mm_xor_si128(a, b); }
  static bool equal(B a, B b) {
    const B difference = _mm_xor_si128(a, b);
    return _mm_testz_si128(difference, difference) != 0;
  }
  static B order() { return _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
  static B reverse_block(B b) { return _mm_shuffle_epi8(b, order()); }
  static V reverse(V v) { return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(order())); }
  static V widen(B b) { return _mm512_zextsi128_si512(b); }
  static B first(V v) { return _mm512_castsi512_si128(v); }
  static V add_first(V v, B b) { return _mm512_xor_si512(v, widen(b)); }
  static B fold(V v) {
    const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  }
  static B lengths(uint64_t aad_bits, uint64_t data_bits) {
    return _mm_set_epi64x(static_cast<long long>(aad_bits), static_cast<long long>(data_bits));
  }

  // Bytes reversed, so that the counter is the lowest word.
  static V counters(const uint8_t* nonce, uint32_t first) {
    uint32_t words[4] = {0, 0, 0, 0};
    __builtin_memcpy(words, nonce, kNonceBytes);
    const B block = reverse_block(load_block(reinterpret_cast<const uint8_t*>(words)));
    const V lanes = _mm512_set_epi32(0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0);
    const V start = _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(first)));
    return _mm512_add_epi32(_mm512_add_epi32(_mm512_broadcast_i32x4(block), lanes), _mm512_shuffle_i32x4(start, start, 0));
  }
  static V advance(V v) { return _mm512_add_epi32(v, _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4)); }

  template <size_t n>
  static void encrypt(V (&v)[n], const uint8_t* schedule) {
    const V first = _mm512_broadcast_i32x4(load_block(schedule));
    for (size_t i = 0; i < n; ++i) v[i] = _mm512_xor_si512(v[i], first);
#pragma GCC unroll 13
    for (size_t round = 1; round < 14; ++round) {
      const V key = _mm512_broadcast_i32x4(load_block(schedule + round * 16));
      for (size_t i = 0; i < n; ++i) v[i] = _mm512_aesenc_epi128(v[i], key);
    }
    const V last = _mm512_broadcast_i32x4(load_block(schedule + 14 * 16));
    for (size_t i = 0; i < n; ++i) v[i] = _mm512_aesenclast_epi128(v[i], last);
  }

  static V multiply_low(V a, V b) { return _mm512_clmulepi64_epi128(a, b, 0x00); }
  static V multiply_high(V a, V b) { return _mm512_clmulepi64_epi128(a, b, 0x11); }
  static V multiply_cross(V a, V b) {
    return _mm512_xor_si512(_mm512_clmulepi64_epi128(a, b, 0x01), _mm512_clmulepi64_epi128(a, b, 0x10));
  }
  static V reduce_half(V v) {
    const V polynomial = _mm512_set1_epi64(static_cast<long long>(0xc200000000000000));
    return _mm512_xor_si512(_mm512_shuffle_epi32(v, _MM_PERM_BADC), _mm512_clmulepi64_epi128(v, polynomial, 0x00));
  }
  static uint32_t substitute(uint32_t word) {
    const B b = _mm_set1_epi32(static_cast<int>(word));
    return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm_aeskeygenassist_si128(b, 0)));
  }
};

// Sixteen blocks at a time, then as crc32_folded does it.
inline __m512i fold_four(__m512i state, __m512i factors, __m512i next) {
  const __m512i low = _mm512_clmulepi64_epi128(state, factors, 0x00);
  const __m512i high = _mm512_clmulepi64_epi128(state, factors, 0x11);
  return _mm512_ternarylogic_epi64(low, high, next, 0x96);
}

uint32_t crc32_wide(const uint8_t* data, size_t length) {
  const size_t odd = length % 16;
  if (length < 16 + odd + 512) return crc32_folded(data, length);
  const __m128i head = crc_fold(crc32_start(data, odd), crc_factors<128>(), _mm_setzero_si128());
  data += 16 + odd;
  length -= 16 + odd;
  __m512i a = _mm512_xor_si512(_mm512_loadu_si512(data), _mm512_zextsi128_si512(head));
  __m512i b = _mm512_loadu_si512(data + 64), c = _mm512_loadu_si512(data + 128), d = _mm512_loadu_si512(data + 192);
  data += 256;
  length -= 256;
  const __m512i by_sixteen = _mm512_broadcast_i32x4(crc_factors<16 * 128>());
  for (; length >= 256; length -= 256, data += 256) {
    a = fold_four(a, by_sixteen, _mm512_loadu_si512(data));
    b = fold_four(b, by_sixteen, _mm512_loadu_si512(data + 64));
    c = fold_four(c, by_sixteen, _mm512_loadu_si512(data + 128));
    d = fold_four(d, by_sixteen, _mm512_loadu_si512(data + 192));
  }
  const __m512i by_four = _mm512_broadcast_i32x4(crc_factors<4 * 128>());
  a = fold_four(fold_four(fold_four(a, by_four, b), by_four, c), by_four, d);
  for (; length >= 64; length -= 64, data += 64) a = fold_four(a, by_four, _mm512_loadu_si512(data));
  const __m128i by_one = crc_factors<128>();
  __m128i state = _mm512_castsi512_si128(a);
  state = crc_fold(state, by_one, _mm512_extracti32x4_epi32(a, 1));
  state = crc_fold(state, by_one, _mm512_extracti32x4_epi32(a, 2));
  state = crc_fold(state, by_one, _mm512_extracti32x4_epi32(a, 3));
  return crc32_end(state, data, length);
}

}  // namespace

const Kernel kVaesKernel = {"vaes", Gcm<Vaes>::expand, Gcm<Vaes>::seal, Gcm<Vaes>::open, crc32_wide};

}  // namespace pilotwire

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
