// Expanded keys of sessions, bounded, by second chance, like those in Wasm (assembly/contexts.ts): a key is spared once if
// it was of use since it was made or last passed over. Whatever leaves is wiped.
#pragma once
#include <memory>
#include <vector>

#include "gcm.h"

namespace pilotwire {

class Keys {
 public:
  Keys(const Kernel& kernel, uint32_t sessions);
  ~Keys();
  Keys(const Keys&) = delete;
  Keys& operator=(const Keys&) = delete;

  uint32_t sessions() const { return static_cast<uint32_t>(places_.size()); }

  // The expanded form of the 32 bytes at `key`, for a session below `sessions()`; valid until the next call. Indexes of
  // sessions are used again: a context that was made of another key is made anew.
  const Context& of(uint32_t session, const uint8_t* key);
  // A frame of it verified, or was sealed.
  void used(uint32_t session) { used_[places_[session] - 1] = true; }
  // Nothing happens when there is none.
  void forget(uint32_t session);

 private:
  // Makes a place free. Of places from 1, 0 is none.
  uint32_t take();

  const Kernel& kernel_;
  std::vector<uint16_t> places_;
  std::unique_ptr<Context[]> contexts_;
  std::vector<uint32_t> owners_;
  std::vector<bool> used_;
  uint32_t hand_ = 0;
};

}  // namespace pilotwire
