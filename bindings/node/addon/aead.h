// The AEAD stage of the engine for whole batches: packets in the memory of the Wasm module are sealed and opened in place.
#pragma once
#include <napi.h>

#include <memory>

#include "keys.h"

namespace pilotwire {

class Aead : public Napi::ObjectWrap<Aead> {
 public:
  static Napi::Function define(Napi::Env env);
  // (kernel: string, sessions: number)
  explicit Aead(const Napi::CallbackInfo& info);

 private:
  struct Batch {
    uint8_t* memory;
    size_t length;
    uint32_t* records;
    uint32_t count;
  };

  // (memory: Uint8Array, records: number, count: number): number of records that are WRITTEN still.
  Napi::Value seal(const Napi::CallbackInfo& info);
  // The same for PARSED records, which become OPENED, CHECKED or REFUSED; answers nothing.
  void open(const Napi::CallbackInfo& info);
  // (session: number)
  void forget(const Napi::CallbackInfo& info);
  // (memory: Uint8Array, at: number, length: number): CRC-32, for tests; length ≥ 16.
  Napi::Value crc32(const Napi::CallbackInfo& info);

  static bool read_batch(const Napi::CallbackInfo& info, Batch& batch);
  bool seal_record(const Batch& batch, uint32_t* record);
  void open_record(const Batch& batch, uint32_t* record);
  bool is_checked(uint8_t* packet, size_t length) const;

  const Kernel* kernel_ = nullptr;
  std::unique_ptr<Keys> keys_;
};

}  // namespace pilotwire
