#include "keys.h"

#include <algorithm>
#include <cstring>

namespace pilotwire {
namespace {

// As many as there are expanded keys in Wasm (assembly/layout.ts).
constexpr uint32_t kContexts = 1024;
constexpr uint32_t kNobody = 0xffffffff;

// Without a branch on the way.
bool is_same_key(const uint8_t* a, const uint8_t* b) {
  uint64_t x[4], y[4];
  std::memcpy(x, a, kKeyBytes);
  std::memcpy(y, b, kKeyBytes);
  return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3])) == 0;
}

}  // namespace

Keys::Keys(const Kernel& kernel, uint32_t sessions)
    : kernel_(kernel),
      places_(sessions, 0),
      contexts_(new Context[std::min(sessions, kContexts)]),
      owners_(std::min(sessions, kContexts), kNobody),
      used_(std::min(sessions, kContexts), false) {}

Keys::~Keys() {
  for (size_t i = 0; i < owners_.size(); ++i) {
    if (owners_[i] != kNobody) wipe(&contexts_[i], sizeof(Context));
  }
}

const Context& Keys::of(uint32_t session, const uint8_t* key) {
  const uint32_t place = places_[session];
  if (place != 0 && is_same_key(contexts_[place - 1].schedule, key)) return contexts_[place - 1];
  forget(session);
  const uint32_t number = take();
  owners_[number] = session;
  used_[number] = false;
  places_[session] = static_cast<uint16_t>(number + 1);
  kernel_.expand(contexts_[number], key);
  return contexts_[number];
}

void Keys::forget(uint32_t session) {
  if (session >= places_.size() || places_[session] == 0) return;
  const uint32_t number = places_[session] - 1;
  wipe(&contexts_[number], sizeof(Context));
  owners_[number] = kNobody;
  used_[number] = false;
  places_[session] = 0;
}

uint32_t Keys::take() {
  while (true) {
    const uint32_t number = hand_;
    hand_ = number + 1 == owners_.size() ? 0 : number + 1;
    if (owners_[number] == kNobody) return number;
    if (used_[number]) {
      used_[number] = false;
      continue;
    }
    forget(owners_[number]);
    return number;
  }
}

}  // namespace pilotwire
