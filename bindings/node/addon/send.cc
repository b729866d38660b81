// Many datagrams per call (sendmmsg); runs of equal length to one destination are one message that the kernel, or the
// network card, cuts (UDP_SEGMENT). Refusals of the kernel end that for such lengths without a word.
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "socket.h"

namespace pilotwire {
namespace {

// UDP_MAX_SEGMENTS of the kernels that began it.
constexpr size_t kMostSegments = 64;
// What an IPv6 datagram carries at most, less some for options.
constexpr size_t kMostBytes = 65000;
constexpr size_t kMostParts = 1024;

struct Message {
  Address address;
  size_t datagrams;
  size_t segment;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))];
};

struct Outgoing {
  mmsghdr headers[kBatch];
  Message messages[kBatch];
  iovec parts[kMostParts];
};

bool is_same_destination(const uint32_t* a, const uint32_t* b) {
  return std::memcmp(a + kSendPort, b + kSendPort, (kSendError - kSendPort) * sizeof *a) == 0;
}

// Null when the datagram does not lie in its buffer.
uint8_t* place_of(const uint32_t* datagram, Bytes lent, Bytes own) {
  const Bytes& buffer = datagram[kSendAt] & kOwnBuffer ? own : lent;
  const uint64_t at = datagram[kSendAt] & ~kOwnBuffer;
  return at + datagram[kSendLength] <= buffer.length ? buffer.at + at : nullptr;
}

void address_message(msghdr& header, Message& message, const uint32_t* datagram, bool is_ipv6) {
  std::memset(&message.address, 0, sizeof message.address);
  const uint16_t port = htons(static_cast<uint16_t>(datagram[kSendPort]));
  if (is_ipv6) {
    sockaddr_in6& six = message.address.six;
    six.sin6_family = AF_INET6;
    six.sin6_port = port;
    six.sin6_scope_id = datagram[kSendScope];
    std::memcpy(&six.sin6_addr, datagram + kSendAddress, sizeof six.sin6_addr);
    header.msg_namelen = sizeof six;
  } else {
    sockaddr_in& four = message.address.four;
    four.sin_family = AF_INET;
    four.sin_port = port;
    std::memcpy(&four.sin_addr, datagram + kSendAddress, sizeof four.sin_addr);
    header.msg_namelen = sizeof four;
  }
  header.msg_name = &message.address;
}

void say_segment(msghdr& header, Message& message) {
  header.msg_control = message.control;
  header.msg_controllen = sizeof message.control;
  cmsghdr* control = CMSG_FIRSTHDR(&header);
  control->cmsg_level = SOL_UDP;
  control->cmsg_type = UDP_SEGMENT;
  control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
  const uint16_t length = static_cast<uint16_t>(message.segment);
  std::memcpy(CMSG_DATA(control), &length, sizeof length);
}

// How many datagrams from `first` on can be one message.
size_t run_length(const uint32_t* first, size_t count, size_t longest) {
  const size_t segment = first[kSendLength];
  if (segment == 0 || segment > longest) return 1;
  size_t total = segment;
  size_t n = 1;
  for (; n < std::min(count, kMostSegments); ++n) {
    const uint32_t* next = first + n * kSendWords;
    const size_t length = next[kSendLength];
    if (length == 0 || length > segment || total + length > kMostBytes || !is_same_destination(first, next)) break;
    total += length;
    // A shorter one can only be the last.
    if (length < segment) return n + 1;
  }
  return n;
}

// Fills messages from the datagrams; returns how many.
size_t fill(Outgoing& out, Bytes lent, Bytes own, const uint32_t* datagrams, size_t count, size_t longest, bool is_ipv6) {
  size_t messages = 0;
  size_t parts = 0;
  for (size_t i = 0; i < count && messages < kBatch;) {
    const uint32_t* first = datagrams + i * kSendWords;
    const size_t n = run_length(first, count - i, longest);
    if (parts + n > kMostParts) break;
    msghdr& header = out.headers[messages].msg_hdr;
    Message& message = out.messages[messages];
    std::memset(&header, 0, sizeof header);
    header.msg_iov = out.parts + parts;
    header.msg_iovlen = n;
    for (size_t k = 0; k < n; ++k) {
      const uint32_t* datagram = first + k * kSendWords;
      uint8_t* at = place_of(datagram, lent, own);
      // An address that is none: the kernel says EFAULT, as it should to a bug of ours.
      out.parts[parts++] = {at, at == nullptr ? 1 : datagram[kSendLength]};
    }
    message.datagrams = n;
    message.segment = first[kSendLength];
    address_message(header, message, first, is_ipv6);
    if (n > 1) say_segment(header, message);
    ++messages;
    i += n;
  }
  return messages;
}

}  // namespace

size_t Socket::send(Bytes lent, Bytes own, uint32_t* datagrams, size_t count) {
  Outgoing out;
  size_t done = 0;
  while (done < count) {
    uint32_t* first = datagrams + done * kSendWords;
    const size_t messages = fill(out, lent, own, first, count - done, longest_segment_, is_ipv6_);
    const int sent = sendmmsg(fd_, out.headers, static_cast<unsigned>(messages), MSG_DONTWAIT);
    if (sent > 0) {
      for (int k = 0; k < sent; ++k) done += out.messages[k].datagrams;
      continue;
    }
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN || error == EWOULDBLOCK) break;
    if (out.messages[0].datagrams > 1) {
      // EINVAL and EMSGSIZE: longer than the way there takes in one piece. Anything else: not at all.
      longest_segment_ = error == EINVAL || error == EMSGSIZE ? out.messages[0].segment - 1 : 0;
      continue;
    }
    first[kSendError] = static_cast<uint32_t>(error);
    ++done;
  }
  return done;
}

}  // namespace pilotwire
