// Which kernels this processor runs.
#include "gcm.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace pilotwire {

Kernels available_kernels() {
  static const Kernel* list[2];
  static size_t count = [] {
    size_t found = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool has_aes = __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
    // These ask the system too whether it saves the wide registers.
    const bool has_wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("vaes") &&
                          __builtin_cpu_supports("vpclmulqdq");
    if (has_aes && has_wide) list[found++] = &kVaesKernel;
    if (has_aes) list[found++] = &kAesniKernel;
#elif defined(__aarch64__)
    // HWCAP_AES, HWCAP_PMULL and HWCAP_CRC32 of <asm/hwcap.h>.
    constexpr unsigned long kNeeded = 1ul << 3 | 1ul << 4 | 1ul << 7;
    if ((getauxval(AT_HWCAP) & kNeeded) == kNeeded) list[found++] = &kArmKernel;
#endif
    return found;
  }();
  return {list, count};
}

}  // namespace pilotwire
