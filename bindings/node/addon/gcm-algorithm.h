// AES-256-GCM over vectors of one or more blocks, for every instruction set. Read SP 800-38D §6 and 7; and S. Gueron,
// M. Kounavis, "Intel Carry-Less Multiplication Instruction and its Usage for Computing the GCM Mode".
//
// GHASH works on blocks with their bytes reversed and on powers of H that are multiplied by x beforehand: then products need
// no shift before they are reduced. Several blocks are multiplied by falling powers and reduced together.
//
// An instruction set `P` brings a vector `V` of `P::kLanes` blocks, a block `B`, and the functions that are called here.
// Everything is internal to the file that includes this: no code with its instructions may be shared with others.
#pragma once
#include <cstring>

#include "gcm.h"

namespace pilotwire {
namespace {

constexpr size_t kBlock = 16;
// Where H^1 stands in `Context::powers`.
constexpr size_t kFirstPower = 16;

template <class P>
struct Gcm {
  using V = typename P::V;
  using B = typename P::B;
  static constexpr size_t kVectorBytes = P::kLanes * kBlock;
  // Blocks that are hashed together. The last of them go together with the block of lengths.
  static constexpr size_t kChunkBlocks = P::kVectors * P::kLanes;
  static constexpr size_t kChunkBytes = kChunkBlocks * kBlock;
  static_assert(kChunkBlocks <= kFirstPower, "there are not so many powers");

  // Sums of products that are not reduced yet.
  struct Sum {
    V low, middle, high;
  };

  static void expand(Context& context, const uint8_t* key) {
    std::memset(&context, 0, sizeof context);
    expand_schedule(context.schedule, key);
    alignas(64) uint8_t h[kVectorBytes] = {};
    V block[1] = {P::load(h)};
    P::template encrypt<1>(block, context.schedule);
    P::store(h, block[0]);
    uint64_t high, low;
    std::memcpy(&high, h, 8);
    std::memcpy(&low, h + 8, 8);
    high = __builtin_bswap64(high);
    low = __builtin_bswap64(low);
    // H times x: a shift, and the polynomial if a bit fell out.
    const uint64_t carry = 0 - (high >> 63);
    high = (high << 1 | low >> 63) ^ (carry & 0xc200000000000000);
    low = low << 1 ^ (carry & 1);
    uint8_t* at = context.powers + kFirstPower * kBlock;
    std::memcpy(at, &low, 8);
    std::memcpy(at + 8, &high, 8);
    const B first = P::load_block(at);
    B power = first;
    for (size_t i = 0; i < kChunkBlocks; ++i) {
      power = multiply(power, first);
      at -= kBlock;
      P::store_block(at, power);
    }
    wipe(h, sizeof h);
  }

  static void seal(const Context& context, const uint8_t* nonce, const uint8_t* aad, uint8_t* data, size_t length,
                   uint8_t* tag) {
    V counter = P::counters(nonce, 2);
    const size_t total = length;
    B hash = hash_aad(context, aad);
    const B mask = tag_mask(context, nonce);
    for (; length >= kChunkBytes; length -= kChunkBytes, data += kChunkBytes) {
      V v[P::kVectors];
      keystream<P::kVectors>(context, v, counter);
      for (size_t i = 0; i < P::kVectors; ++i) {
        v[i] = P::exclusive_or(v[i], P::load(data + i * kVectorBytes));
        P::store(data + i * kVectorBytes, v[i]);
        v[i] = P::reverse(v[i]);
      }
      hash = hash_chunk(context, v, hash);
    }
    Last last{context, hash, total, Sum{P::zero(), P::zero(), P::zero()}};
    in_vectors<P::kVectors>(length, [&](auto count) {
      constexpr size_t n = decltype(count)::value;
      V v[n];
      keystream<n>(context, v, counter);
      apply<n>(v, data, length);
      last.template add<n>(v, length);
    });
    P::store_block(tag, P::exclusive_or_block(P::reverse_block(last.finish()), mask));
  }

  static bool open(const Context& context, const uint8_t* nonce, const uint8_t* aad, uint8_t* data, size_t length,
                   const uint8_t* tag) {
    // Two passes: no byte is decrypted before all of them are verified.
    const B mask = tag_mask(context, nonce);
    const B expected = P::exclusive_or_block(hash_all(context, aad, data, length), mask);
    if (!P::equal(expected, P::load_block(tag))) return false;
    V counter = P::counters(nonce, 2);
    for (; length >= kChunkBytes; length -= kChunkBytes, data += kChunkBytes) {
      V v[P::kVectors];
      keystream<P::kVectors>(context, v, counter);
      for (size_t i = 0; i < P::kVectors; ++i) {
        P::store(data + i * kVectorBytes, P::exclusive_or(v[i], P::load(data + i * kVectorBytes)));
      }
    }
    in_vectors<P::kVectors>(length, [&](auto count) {
      constexpr size_t n = decltype(count)::value;
      V v[n];
      keystream<n>(context, v, counter);
      apply<n>(v, data, length);
    });
    return true;
  }

 private:
  // What is left after whole chunks, and the block of lengths.
  struct Last {
    const Context& context;
    B hash;
    const size_t total;
    Sum sum;

    // `v` holds ciphertext, zero behind its `length` bytes.
    template <size_t n>
    void add(V (&v)[n], size_t length) {
      for (size_t i = 0; i < n; ++i) v[i] = P::reverse(v[i]);
      v[0] = P::add_first(v[0], hash);
      hash = P::zero_block();
      const size_t blocks = (length + kBlock - 1) / kBlock;
      const uint8_t* powers = context.powers + (kFirstPower - blocks) * kBlock;
      for (size_t i = 0; i < n; ++i) accumulate(sum, v[i], P::load(powers + i * kVectorBytes));
    }

    B finish() {
      const B lengths = P::lengths(kAadBytes * 8, static_cast<uint64_t>(total) * 8);
      const B power = P::load_block(context.powers + kFirstPower * kBlock);
      accumulate(sum, P::widen(P::exclusive_or_block(lengths, hash)), P::widen(power));
      return P::fold(reduce(sum));
    }
  };

  static B hash_all(const Context& context, const uint8_t* aad, const uint8_t* data, size_t length) {
    const size_t total = length;
    B hash = hash_aad(context, aad);
    for (; length >= kChunkBytes; length -= kChunkBytes, data += kChunkBytes) {
      V v[P::kVectors];
      for (size_t i = 0; i < P::kVectors; ++i) v[i] = P::reverse(P::load(data + i * kVectorBytes));
      hash = hash_chunk(context, v, hash);
    }
    Last last{context, hash, total, Sum{P::zero(), P::zero(), P::zero()}};
    in_vectors<P::kVectors>(length, [&](auto count) {
      constexpr size_t n = decltype(count)::value;
      V v[n];
      for (size_t i = 0; i + 1 < n; ++i) v[i] = P::load(data + i * kVectorBytes);
      v[n - 1] = P::load_part(data + (n - 1) * kVectorBytes, length - (n - 1) * kVectorBytes);
      last.template add<n>(v, length);
    });
    return P::reverse_block(last.finish());
  }

  static B hash_chunk(const Context& context, V (&v)[P::kVectors], B hash) {
    v[0] = P::add_first(v[0], hash);
    Sum sum{P::zero(), P::zero(), P::zero()};
    const uint8_t* powers = context.powers + (kFirstPower + 1 - kChunkBlocks) * kBlock;
    for (size_t i = 0; i < P::kVectors; ++i) accumulate(sum, v[i], P::load(powers + i * kVectorBytes));
    return P::fold(reduce(sum));
  }

  static B hash_aad(const Context& context, const uint8_t* aad) {
    uint8_t block[kBlock] = {};
    std::memcpy(block, aad, kAadBytes);
    const B power = P::load_block(context.powers + kFirstPower * kBlock);
    return multiply(P::reverse_block(P::load_block(block)), power);
  }

  static B tag_mask(const Context& context, const uint8_t* nonce) {
    V block[1] = {P::reverse(P::counters(nonce, 1))};
    P::template encrypt<1>(block, context.schedule);
    return P::first(block[0]);
  }

  template <size_t n>
  static void keystream(const Context& context, V (&v)[n], V& counter) {
    for (size_t i = 0; i < n; ++i) {
      v[i] = P::reverse(counter);
      counter = P::advance(counter);
    }
    P::template encrypt<n>(v, context.schedule);
  }

  // XORs `length` bytes and leaves the result, zero behind it, in `v`.
  template <size_t n>
  static void apply(V (&v)[n], uint8_t* data, size_t length) {
    for (size_t i = 0; i + 1 < n; ++i) {
      v[i] = P::exclusive_or(v[i], P::load(data + i * kVectorBytes));
      P::store(data + i * kVectorBytes, v[i]);
    }
    uint8_t* at = data + (n - 1) * kVectorBytes;
    const size_t rest = length - (n - 1) * kVectorBytes;
    v[n - 1] = P::keep(P::exclusive_or(v[n - 1], P::load_part(at, rest)), rest);
    P::store_part(at, v[n - 1], rest);
  }

  // Calls `run` with the number of vectors that hold `length` bytes as a constant; not at all for none.
  template <size_t n, class Run>
  static void in_vectors(size_t length, Run&& run) {
    if constexpr (n > 0) {
      if (length > (n - 1) * kVectorBytes) {
        run(Number<n>{});
      } else {
        in_vectors<n - 1>(length, run);
      }
    }
  }
  template <size_t n>
  struct Number {
    static constexpr size_t value = n;
  };

  static void accumulate(Sum& sum, V a, V b) {
    sum.low = P::exclusive_or(sum.low, P::multiply_low(a, b));
    sum.middle = P::exclusive_or(sum.middle, P::multiply_cross(a, b));
    sum.high = P::exclusive_or(sum.high, P::multiply_high(a, b));
  }

  // Modulo x^128 + x^7 + x^2 + x + 1, 64 bits at a time.
  static V reduce(const Sum& sum) {
    const V middle = P::exclusive_or(sum.middle, P::reduce_half(sum.low));
    return P::exclusive_or(sum.high, P::reduce_half(middle));
  }

  static B multiply(B a, B b) {
    Sum sum{P::zero(), P::zero(), P::zero()};
    accumulate(sum, P::widen(a), P::widen(b));
    return P::first(reduce(sum));
  }

  static void expand_schedule(uint8_t* schedule, const uint8_t* key) {
    uint32_t w[60];
    std::memcpy(w, key, kKeyBytes);
    uint32_t round = 1;
    for (size_t i = 8; i < 60; ++i) {
      uint32_t t = w[i - 1];
      if (i % 8 == 0) {
        t = P::substitute(t >> 8 | t << 24) ^ round;
        round <<= 1;
      } else if (i % 8 == 4) {
        t = P::substitute(t);
      }
      w[i] = w[i - 8] ^ t;
    }
    std::memcpy(schedule, w, sizeof w);
    wipe(w, sizeof w);
  }
};

}  // namespace
}  // namespace pilotwire
