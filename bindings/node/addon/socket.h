// One UDP socket of Linux: bound, non-blocking, with large buffers, and with segmentation in the kernel where it can. Sends
// and receives many datagrams per call. Knows nothing of JavaScript.
#pragma once
#include <netinet/in.h>

#include <cstddef>
#include <cstdint>

namespace pilotwire {

// Datagrams or messages that one call of the system carries.
constexpr size_t kBatch = 64;
// Words of a datagram to send, as bindings/node/addon-udp.ts writes them.
constexpr size_t kSendWords = 10;
enum SendWord : size_t {
  // Place in the buffer; the highest bit says in which.
  kSendAt = 0,
  kSendLength = 1,
  kSendPort = 2,
  kSendScope = 3,
  // As the kernel has it; an IPv4 address is the first word.
  kSendAddress = 4,
  // Written: 0, or why it could not be sent.
  kSendError = 8,
};
constexpr uint32_t kOwnBuffer = 0x80000000;

// Words of a message that came: one datagram, or several of one sender that the kernel put together.
constexpr size_t kMessageWords = 10;
enum MessageWord : size_t {
  kMessageAt = 0,
  kMessageLength = 1,
  // Length of each datagram but the last.
  kMessageSegment = 2,
  kMessagePort = 3,
  kMessageScope = 4,
  kMessageAddress = 5,
};
// Room for one message in the ring. No power of two: the starts of messages would share a few sets of the cache.
constexpr size_t kSlotBytes = 65536 + 1088;

union Address {
  sockaddr any;
  sockaddr_in four;
  sockaddr_in6 six;
};

// Reads a literal address of the family, with a scope where it is of a link. Returns the length of the structure, or 0.
socklen_t parse_address(const char* text, uint16_t port, bool is_ipv6, Address& address);

struct Bytes {
  uint8_t* at;
  size_t length;
};

class Socket {
 public:
  // 0, or an errno. @param address - Literal, of the family.
  static int bind(const char* address, uint16_t port, bool is_ipv6, bool wants_segments, Socket& socket);

  int fd() const { return fd_; }
  bool is_ipv6() const { return is_ipv6_; }
  // Runs of datagrams are put together, as far as the kernel and the way there allow.
  bool joins() const { return longest_segment_ > 0; }
  bool splits() const { return splits_; }
  // How many messages `receive` asks for next.
  size_t wanted() const { return wanted_; }

  // Sends in order. A datagram that cannot be sent is marked and passed over. Returns how many are done with: fewer than
  // `count` when the kernel's buffer is full. `lent` and `own` are what `kSendAt` points into.
  size_t send(Bytes lent, Bytes own, uint32_t* datagrams, size_t count);

  // Receives up to `slots` messages into the ring; 0: there are none now.
  size_t receive(uint8_t* ring, uint32_t* messages, size_t slots);

  // Whether the loop that waits shall hear when there is room again.
  bool is_blocked = false;
  // Whether the process stays for this socket.
  bool is_kept = true;

 private:
  int fd_ = -1;
  bool is_ipv6_ = false;
  bool splits_ = false;
  size_t longest_segment_ = 0;
  // Messages to ask for: fewer where they are long, so that they are read while they are in the cache.
  size_t wanted_ = kBatch;
};

}  // namespace pilotwire
