// AES-256-GCM (NIST SP 800-38D) with nonces of 12 bytes and aads of 4, and CRC-32, as instructions of the processor: no
// table, no branch and no address depends on a secret. One implementation per instruction set, chosen at run time.
#pragma once
#include <cstddef>
#include <cstdint>

namespace pilotwire {

constexpr size_t kKeyBytes = 32;
constexpr size_t kNonceBytes = 12;
constexpr size_t kAadBytes = 4;
constexpr size_t kTagBytes = 16;

// An expanded key. The schedule begins with the key itself (FIPS 197 §5.2).
struct alignas(64) Context {
  uint8_t schedule[15 * 16];
  // Powers of H, the highest first; what stands behind H^1 is zero and only ever read together with it.
  uint8_t powers[20 * 16];
};

// What one instruction set does. All pointers are borrowed; data is changed in place.
struct Kernel {
  const char* name;
  void (*expand)(Context& context, const uint8_t* key);
  void (*seal)(const Context& context, const uint8_t* nonce, const uint8_t* aad, uint8_t* data, size_t length,
               uint8_t* tag);
  // False: the tag was wrong and the data is as it was; nothing was decrypted.
  bool (*open)(const Context& context, const uint8_t* nonce, const uint8_t* aad, uint8_t* data, size_t length,
               const uint8_t* tag);
  // IEEE 802.3, as zlib's; length ≥ 16.
  uint32_t (*crc32)(const uint8_t* data, size_t length);
};

// Kernels of this build that this processor runs, the fastest first.
struct Kernels {
  const Kernel* const* list;
  size_t count;
};
Kernels available_kernels();

extern const Kernel kVaesKernel;
extern const Kernel kAesniKernel;
extern const Kernel kArmKernel;

// Zeroes what no compiler may think superfluous.
inline void wipe(void* bytes, size_t length) {
  volatile uint8_t* at = static_cast<volatile uint8_t*>(bytes);
  while (length-- > 0) *at++ = 0;
}

}  // namespace pilotwire
