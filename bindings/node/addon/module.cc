// What the addon exports; bindings/node/addon.ts is the other side.
#include <napi.h>

#include "aead.h"
#include "poller.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  const pilotwire::Kernels kernels = pilotwire::available_kernels();
  const Napi::Array names = Napi::Array::New(env, kernels.count);
  for (uint32_t i = 0; i < kernels.count; ++i) names.Set(i, kernels.list[i]->name);
  // Raised when what JavaScript may expect of this changes.
  exports.Set("version", 1);
  exports.Set("kernels", names);
  exports.Set("Aead", pilotwire::Aead::define(env));
  exports.Set("Poller", pilotwire::Poller::define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(pilotwire, init)
