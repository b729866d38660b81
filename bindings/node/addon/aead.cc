#include "aead.h"

#include <cstring>
#include <string>

#include "records.h"

namespace pilotwire {
namespace {

constexpr uint32_t kMostSessions = 4000000;

void store_big_endian(uint8_t* at, uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(at, &value, 4);
}

uint32_t load_big_endian(const uint8_t* at) {
  uint32_t value;
  std::memcpy(&value, at, 4);
  return __builtin_bswap32(value);
}

// Whether `length` bytes at `ptr` lie in the memory.
bool is_inside(size_t memory, uint64_t ptr, uint64_t length) { return ptr + length <= memory; }

}  // namespace

Napi::Function Aead::define(Napi::Env env) {
  return DefineClass(env, "Aead",
                     {InstanceMethod<&Aead::seal>("seal"), InstanceMethod<&Aead::open>("open"),
                      InstanceMethod<&Aead::forget>("forget"), InstanceMethod<&Aead::crc32>("crc32")});
}

Aead::Aead(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Aead>(info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 2 || !info[0].IsString() || !info[1].IsNumber()) {
    Napi::TypeError::New(env, "Aead needs the name of a kernel and a number of sessions").ThrowAsJavaScriptException();
    return;
  }
  const std::string name = info[0].As<Napi::String>().Utf8Value();
  const Kernels kernels = available_kernels();
  for (size_t i = 0; i < kernels.count; ++i) {
    if (name == kernels.list[i]->name) kernel_ = kernels.list[i];
  }
  const uint32_t sessions = info[1].As<Napi::Number>().Uint32Value();
  if (kernel_ == nullptr || sessions == 0 || sessions > kMostSessions) {
    Napi::RangeError::New(env, "Aead: no such kernel, or not so many sessions").ThrowAsJavaScriptException();
    return;
  }
  keys_ = std::make_unique<Keys>(*kernel_, sessions);
}

Napi::Value Aead::seal(const Napi::CallbackInfo& info) {
  Batch batch;
  if (!read_batch(info, batch)) return info.Env().Undefined();
  uint32_t left = 0;
  for (uint32_t i = 0; i < batch.count; ++i) {
    uint32_t* record = batch.records + i * kRecordWords;
    if (record[kStatus] == kWritten && !seal_record(batch, record)) ++left;
  }
  return Napi::Number::New(info.Env(), left);
}

void Aead::open(const Napi::CallbackInfo& info) {
  Batch batch;
  if (!read_batch(info, batch)) return;
  for (uint32_t i = 0; i < batch.count; ++i) {
    uint32_t* record = batch.records + i * kRecordWords;
    if (record[kStatus] == kParsed) open_record(batch, record);
  }
}

void Aead::forget(const Napi::CallbackInfo& info) {
  if (keys_ != nullptr && info.Length() > 0 && info[0].IsNumber()) keys_->forget(info[0].As<Napi::Number>().Uint32Value());
}

Napi::Value Aead::crc32(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (kernel_ != nullptr && info.Length() >= 3 && info[0].IsTypedArray() && info[1].IsNumber() && info[2].IsNumber()) {
    Napi::Uint8Array memory = info[0].As<Napi::Uint8Array>();
    const uint32_t at = info[1].As<Napi::Number>().Uint32Value();
    const uint32_t length = info[2].As<Napi::Number>().Uint32Value();
    if (length >= 16 && is_inside(memory.ByteLength(), at, length)) {
      return Napi::Number::New(env, kernel_->crc32(memory.Data() + at, length));
    }
  }
  Napi::RangeError::New(env, "crc32 needs memory, a place in it and at least 16 bytes").ThrowAsJavaScriptException();
  return env.Undefined();
}

bool Aead::read_batch(const Napi::CallbackInfo& info, Batch& batch) {
  if (info.Length() >= 3 && info[0].IsTypedArray() && info[1].IsNumber() && info[2].IsNumber()) {
    Napi::Uint8Array memory = info[0].As<Napi::Uint8Array>();
    const uint32_t at = info[1].As<Napi::Number>().Uint32Value();
    batch.memory = memory.Data();
    batch.length = memory.ByteLength();
    batch.count = info[2].As<Napi::Number>().Uint32Value();
    const uint64_t bytes = static_cast<uint64_t>(batch.count) * kRecordWords * 4;
    if (batch.memory != nullptr && at % 4 == 0 && is_inside(batch.length, at, bytes)) {
      batch.records = reinterpret_cast<uint32_t*>(batch.memory + at);
      return true;
    }
  }
  Napi::RangeError::New(info.Env(), "A batch needs memory and records in it").ThrowAsJavaScriptException();
  return false;
}

// A pointer that leads out of the memory is left to the module, which traps there: it would be a bug of ours.
bool Aead::seal_record(const Batch& batch, uint32_t* record) {
  const uint64_t frame = record[kFramePtr];
  const uint64_t length = kPacketHeader + static_cast<uint64_t>(record[kPayloadLen]);
  const uint64_t key = record[kFrameLen];
  const uint32_t session = record[kSession];
  if (session >= keys_->sessions() || !is_inside(batch.length, key, kKeyBytes) ||
      !is_inside(batch.length, frame, kFramePacket + length + kTagBytes)) {
    return false;
  }
  uint8_t* at = batch.memory + frame;
  uint8_t* packet = at + kFramePacket;
  store_big_endian(packet + kPacketChecksum, 0);
  store_big_endian(packet + kPacketChecksum, kernel_->crc32(packet, length));
  const Context& context = keys_->of(session, batch.memory + key);
  kernel_->seal(context, at + kFrameNonce, at + kFrameAad, packet, length, packet + length);
  keys_->used(session);
  record[kFrameLen] = static_cast<uint32_t>(kFramePacket + length + kTagBytes);
  record[kStatus] = kOk;
  return true;
}

void Aead::open_record(const Batch& batch, uint32_t* record) {
  const uint64_t frame = record[kFramePtr];
  const uint64_t length = record[kPayloadLen];
  const uint64_t key = record[kKind];
  const uint32_t session = record[kSession];
  if (session >= keys_->sessions() || !is_inside(batch.length, key, kKeyBytes) ||
      !is_inside(batch.length, frame, kFramePacket + length + kTagBytes)) {
    return;
  }
  uint8_t* at = batch.memory + frame;
  uint8_t* packet = at + kFramePacket;
  const Context& context = keys_->of(session, batch.memory + key);
  if (!kernel_->open(context, at + kFrameNonce, at + kFrameAad, packet, length, packet + length)) {
    record[kStatus] = kRefused;
    return;
  }
  keys_->used(session);
  record[kStatus] = is_checked(packet, length) ? kChecked : kOpened;
}

// What does not look right here is for the module to judge.
bool Aead::is_checked(uint8_t* packet, size_t length) const {
  if (length < kPacketHeader) return false;
  const size_t whole = kPacketHeader + (static_cast<size_t>(packet[kPacketPayloadLen]) << 8 | packet[kPacketPayloadLen + 1]);
  if (length < whole) return false;
  uint8_t* checksum = packet + kPacketChecksum;
  const uint32_t expected = load_big_endian(checksum);
  store_big_endian(checksum, 0);
  const uint32_t actual = kernel_->crc32(packet, whole);
  store_big_endian(checksum, expected);
  return actual == expected;
}

}  // namespace pilotwire
