// The records of the engine as they stand in its memory between its stages: words of src/engine/engine.ts (`RX`, `TX`) and
// states of src/engine/exports.ts (`STAGE`). Layout of a frame: assembly/tunnel.ts; of a packet: assembly/packet.ts.
#pragma once
#include <cstddef>
#include <cstdint>

namespace pilotwire {

constexpr size_t kRecordWords = 16;

enum Word : size_t {
  kFramePtr = 0,
  // Outgoing: the place of the key until the frame is sealed.
  kFrameLen = 1,
  kStatus = 2,
  kSession = 3,
  kPayloadPtr = 6,
  kPayloadLen = 7,
  // Incoming: the place of the key while the record is PARSED.
  kKind = 8,
};

enum Stage : uint32_t {
  kOk = 0,
  kParsed = 16,
  kOpened = 17,
  kRefused = 18,
  kWritten = 19,
  // Opened, and the packet's CRC is right.
  kChecked = 21,
};

// PILS, sender (the aad), nonce; then the packet.
constexpr size_t kFrameAad = 4;
constexpr size_t kFrameNonce = 8;
constexpr size_t kFramePacket = 20;
constexpr size_t kPacketHeader = 34;
constexpr size_t kPacketPayloadLen = 2;
constexpr size_t kPacketChecksum = 30;

}  // namespace pilotwire
