// One block in a register: the cryptographic extension and the CRC instructions of ARMv8.
#if defined(__aarch64__)
#include <arm_acle.h>
#include <arm_neon.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("aes,crc"))), apply_to = function)
#else
#pragma GCC target("arch=armv8-a+crypto+crc")
#endif

#include "gcm-algorithm.h"

namespace pilotwire {
namespace {

struct Armv8 {
  using V = uint8x16_t;
  using B = uint8x16_t;
  static constexpr size_t kLanes = 1;
  static constexpr size_t kVectors = 8;

  static V zero() { return vdupq_n_u8(0); }
  static B zero_block() { return zero(); }
  static V load(const uint8_t* at) { return vld1q_u8(at); }
  static void store(uint8_t* at, V v) { vst1q_u8(at, v); }
  static B load_block(const uint8_t* at) { return load(at); }
  static void store_block(uint8_t* at, B b) { store(at, b); }
  static V load_part(const uint8_t* at, size_t bytes) {
    uint8_t block[16] = {};
    std::memcpy(block, at, bytes);
    const V v = load(block);
    wipe_block(block);
    return v;
  }
  static void store_part(uint8_t* at, V v, size_t bytes) {
    uint8_t block[16];
    store(block, v);
    std::memcpy(at, block, bytes);
    wipe_block(block);
  }
  static V keep(V v, size_t bytes) {
    static const uint8_t kIndex[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return vandq_u8(v, vcltq_u8(load(kIndex), vdupq_n_u8(static_cast<uint8_t>(bytes))));
  }

  static V exclusive_or(V a, V b) { return veorq_u8(a, b); }
  static B exclusive_or_block(B a, B b) { return veorq_u8(a, b); }
  static bool equal(B a, B b) { return vmaxvq_u8(veorq_u8(a, b)) == 0; }
  static V reverse(V v) {
    const V halves = vrev64q_u8(v);
    return vextq_u8(halves, halves, 8);
  }
  static B reverse_block(B b) { return reverse(b); }
  static V widen(B b) { return b; }
  static B first(V v) { return v; }
  static V add_first(V v, B b) { return veorq_u8(v, b); }
  static B fold(V v) { return v; }
  static B lengths(uint64_t aad_bits, uint64_t data_bits) {
    return vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(data_bits), vcreate_u64(aad_bits)));
  }

  static V counters(const uint8_t* nonce, uint32_t first) {
    uint8_t block[16] = {};
    std::memcpy(block, nonce, kNonceBytes);
    return add(reverse(load(block)), first);
  }
  static V advance(V v) { return add(v, 1); }

  template <size_t n>
  static void encrypt(V (&v)[n], const uint8_t* schedule) {
    // AESE adds the key first, and the last round has no MixColumns.
#pragma GCC unroll 13
    for (size_t round = 0; round < 13; ++round) {
      const V key = load(schedule + round * 16);
      for (size_t i = 0; i < n; ++i) v[i] = vaesmcq_u8(vaeseq_u8(v[i], key));
    }
    const V key = load(schedule + 13 * 16);
    const V last = load(schedule + 14 * 16);
    for (size_t i = 0; i < n; ++i) v[i] = veorq_u8(vaeseq_u8(v[i], key), last);
  }

  static V multiply_low(V a, V b) { return product(lane(a, 0), lane(b, 0)); }
  static V multiply_high(V a, V b) { return product(lane(a, 1), lane(b, 1)); }
  static V multiply_cross(V a, V b) { return veorq_u8(product(lane(a, 0), lane(b, 1)), product(lane(a, 1), lane(b, 0))); }
  static V reduce_half(V v) {
    return veorq_u8(vextq_u8(v, v, 8), product(lane(v, 0), static_cast<poly64_t>(0xc200000000000000)));
  }
  static uint32_t substitute(uint32_t word) {
    const V v = vaeseq_u8(vreinterpretq_u8_u32(vdupq_n_u32(word)), zero());
    return vgetq_lane_u32(vreinterpretq_u32_u8(v), 0);
  }

 private:
  static V add(V v, uint32_t n) {
    return vreinterpretq_u8_u32(vaddq_u32(vreinterpretq_u32_u8(v), vsetq_lane_u32(n, vdupq_n_u32(0), 0)));
  }
  static poly64_t lane(V v, int which) {
    const poly64x2_t words = vreinterpretq_p64_u8(v);
    return which == 0 ? vgetq_lane_p64(words, 0) : vgetq_lane_p64(words, 1);
  }
  static V product(poly64_t a, poly64_t b) { return vreinterpretq_u8_p128(vmull_p64(a, b)); }
  static void wipe_block(uint8_t* block) {
    store(block, zero());
    asm volatile("" : : "r"(block) : "memory");
  }
};

uint32_t crc32_instructions(const uint8_t* data, size_t length) {
  uint32_t sum = ~0u;
  for (; length >= 8; length -= 8, data += 8) {
    uint64_t word;
    std::memcpy(&word, data, 8);
    sum = __crc32d(sum, word);
  }
  for (; length > 0; --length) sum = __crc32b(sum, *data++);
  return ~sum;
}

}  // namespace

const Kernel kArmKernel = {"armv8", Gcm<Armv8>::expand, Gcm<Armv8>::seal, Gcm<Armv8>::open, crc32_instructions};

}  // namespace pilotwire

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
