// Many messages per call (recvmmsg), each of them one datagram or a run that the kernel put together (UDP_GRO).
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "socket.h"

namespace pilotwire {
namespace {

// Above this mean length fewer messages are asked for at once.
constexpr size_t kLongBytes = 8192;
constexpr size_t kLongBatch = 8;

struct Incoming {
  mmsghdr headers[kBatch];
  iovec parts[kBatch];
  Address addresses[kBatch];
  alignas(cmsghdr) char controls[kBatch][CMSG_SPACE(sizeof(int))];
};

// Length of the datagrams in a message, the last of which may be shorter.
size_t segment_of(msghdr& header, size_t length) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_GRO) continue;
    int segment;
    std::memcpy(&segment, CMSG_DATA(control), sizeof segment);
    if (segment > 0 && static_cast<size_t>(segment) < length) return static_cast<size_t>(segment);
  }
  return length;
}

void name_sender(const Address& from, uint32_t* message) {
  std::memset(message + kMessagePort, 0, (kMessageWords - kMessagePort) * sizeof *message);
  if (from.any.sa_family == AF_INET6) {
    message[kMessagePort] = ntohs(from.six.sin6_port);
    message[kMessageScope] = from.six.sin6_scope_id;
    std::memcpy(message + kMessageAddress, &from.six.sin6_addr, sizeof from.six.sin6_addr);
  } else {
    message[kMessagePort] = ntohs(from.four.sin_port);
    std::memcpy(message + kMessageAddress, &from.four.sin_addr, sizeof from.four.sin_addr);
  }
}

}  // namespace

size_t Socket::receive(uint8_t* ring, uint32_t* messages, size_t slots) {
  Incoming in;
  const size_t wanted = std::min(wanted_, slots);
  for (size_t i = 0; i < wanted; ++i) {
    in.parts[i] = {ring + i * kSlotBytes, kSlotBytes};
    msghdr& header = in.headers[i].msg_hdr;
    header = {};
    header.msg_name = &in.addresses[i];
    header.msg_namelen = sizeof in.addresses[i];
    header.msg_iov = &in.parts[i];
    header.msg_iovlen = 1;
    header.msg_control = splits_ ? in.controls[i] : nullptr;
    header.msg_controllen = splits_ ? sizeof in.controls[i] : 0;
  }
  int got;
  do {
    got = recvmmsg(fd_, in.headers, static_cast<unsigned>(wanted), MSG_DONTWAIT, nullptr);
    // An error of an earlier datagram, told once: what came meanwhile is still there.
  } while (got < 0 && (errno == EINTR || errno == ECONNREFUSED));
  if (got <= 0) return 0;
  size_t total = 0;
  for (int i = 0; i < got; ++i) {
    uint32_t* message = messages + static_cast<size_t>(i) * kMessageWords;
    const size_t length = std::min<size_t>(in.headers[i].msg_len, kSlotBytes);
    message[kMessageAt] = static_cast<uint32_t>(static_cast<size_t>(i) * kSlotBytes);
    message[kMessageLength] = static_cast<uint32_t>(length);
    message[kMessageSegment] = static_cast<uint32_t>(segment_of(in.headers[i].msg_hdr, length));
    name_sender(in.addresses[i], message);
    total += length;
  }
  wanted_ = total > static_cast<size_t>(got) * kLongBytes ? kLongBatch : kBatch;
  return static_cast<size_t>(got);
}

}  // namespace pilotwire
