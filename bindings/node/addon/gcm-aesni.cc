// One block in a register: AES-NI and PCLMULQDQ.
#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("sse4.1,aes,pclmul"))), apply_to = function)
#else
#pragma GCC target("sse4.1,aes,pclmul")
#endif

#include "crc32-x86.h"
#include "gcm-algorithm.h"

namespace pilotwire {
namespace {

struct Aesni {
  using V = __m128i;
  using B = __m128i;
  static constexpr size_t kLanes = 1;
  static constexpr size_t kVectors = 8;

  static V zero() { return _mm_setzero_si128(); }
  static B zero_block() { return zero(); }
  static V load(const uint8_t* at) { return _mm_loadu_si128(reinterpret_cast<const V*>(at)); }
  static void store(uint8_t* at, V v) { _mm_storeu_si128(reinterpret_cast<V*>(at), v); }
  static B load_block(const uint8_t* at) { return load(at); }
  static void store_block(uint8_t* at, B b) { store(at, b); }
  static V load_part(const uint8_t* at, size_t bytes) {
    alignas(16) uint8_t block[16] = {};
    std::memcpy(block, at, bytes);
    const V v = load(block);
    wipe_block(block);
    return v;
  }
  static void store_part(uint8_t* at, V v, size_t bytes) {
    alignas(16) uint8_t block[16];
    store(block, v);
    std::memcpy(at, block, bytes);
    wipe_block(block);
  }
  static V keep(V v, size_t bytes) {
    const V index = _mm_set_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm_and_si128(v, _mm_cmplt_epi8(index, _mm_set1_epi8(static_cast<char>(bytes))));
  }

  static V exclusive_or(V a, V b) { return _mm_xor_si128(a, b); }
  static B exclusive_or_block(B a, B b) { return _mm_xor_si128(a, b); }
  static bool equal(B a, B b) {
    const B difference = _mm_xor_si128(a, b);
    return _mm_testz_si128(difference, difference) != 0;
  }
  static V reverse(V v) {
    return _mm_shuffle_epi8(v, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  }
  static B reverse_block(B b) { return reverse(b); }
  static V widen(B b) { return b; }
  static B first(V v) { return v; }
  static V add_first(V v, B b) { return _mm_xor_si128(v, b); }
  static B fold(V v) { return v; }
  static B lengths(uint64_t aad_bits, uint64_t data_bits) {
    return _mm_set_epi64x(static_cast<long long>(aad_bits), static_cast<long long>(data_bits));
  }

  static V counters(const uint8_t* nonce, uint32_t first) {
    uint32_t words[4] = {0, 0, 0, 0};
    std::memcpy(words, nonce, kNonceBytes);
    const B block = reverse(load(reinterpret_cast<const uint8_t*>(words)));
    return _mm_add_epi32(block, _mm_cvtsi32_si128(static_cast<int>(first)));
  }
  static V advance(V v) { return _mm_add_epi32(v, _mm_cvtsi32_si128(1)); }

  template <size_t n>
  static void encrypt(V (&v)[n], const uint8_t* schedule) {
    for (size_t i = 0; i < n; ++i) v[i] = _mm_xor_si128(v[i], load(schedule));
#pragma GCC unroll 13
    for (size_t round = 1; round < 14; ++round) {
      const V key = load(schedule + round * 16);
      for (size_t i = 0; i < n; ++i) v[i] = _mm_aesenc_si128(v[i], key);
    }
    const V last = load(schedule + 14 * 16);
    for (size_t i = 0; i < n; ++i) v[i] = _mm_aesenclast_si128(v[i], last);
  }

  static V multiply_low(V a, V b) { return _mm_clmulepi64_si128(a, b, 0x00); }
  static V multiply_high(V a, V b) { return _mm_clmulepi64_si128(a, b, 0x11); }
  static V multiply_cross(V a, V b) {
    return _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10));
  }
  static V reduce_half(V v) {
    const V polynomial = _mm_set1_epi64x(static_cast<long long>(0xc200000000000000));
    return _mm_xor_si128(_mm_shuffle_epi32(v, 0x4e), _mm_clmulepi64_si128(v, polynomial, 0x00));
  }
  static uint32_t substitute(uint32_t word) {
    const B b = _mm_set1_epi32(static_cast<int>(word));
    return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm_aeskeygenassist_si128(b, 0)));
  }

 private:
  static void wipe_block(uint8_t* block) {
    store(block, zero());
    asm volatile("" : : "r"(block) : "memory");
  }
};

}  // namespace

const Kernel kAesniKernel = {"aesni", Gcm<Aesni>::expand, Gcm<Aesni>::seal, Gcm<Aesni>::open, crc32_folded};

}  // namespace pilotwire

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
