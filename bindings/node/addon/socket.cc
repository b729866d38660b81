#include "socket.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>

namespace pilotwire {
namespace {

constexpr int kReceiveBuffer = 4 << 20;
constexpr int kSendBuffer = 4 << 20;

// A larger buffer is asked for first; Linux caps silently, others refuse.
void ask_for(int fd, int option, int bytes) {
  for (int size : {bytes, bytes / 2, bytes / 4}) {
    if (setsockopt(fd, SOL_SOCKET, option, &size, sizeof size) == 0) return;
  }
}

bool is_enabled(int fd, int option, int value) {
  return setsockopt(fd, SOL_UDP, option, &value, sizeof value) == 0;
}

}  // namespace

socklen_t parse_address(const char* text, uint16_t port, bool is_ipv6, Address& address) {
  std::memset(&address, 0, sizeof address);
  if (!is_ipv6) {
    address.four.sin_family = AF_INET;
    address.four.sin_port = htons(port);
    return inet_pton(AF_INET, text, &address.four.sin_addr) == 1 ? sizeof address.four : 0;
  }
  address.six.sin6_family = AF_INET6;
  address.six.sin6_port = htons(port);
  char plain[INET6_ADDRSTRLEN];
  const char* percent = std::strchr(text, '%');
  const size_t chars = percent == nullptr ? std::strlen(text) : static_cast<size_t>(percent - text);
  if (chars >= sizeof plain) return 0;
  std::memcpy(plain, text, chars);
  plain[chars] = 0;
  if (percent != nullptr) address.six.sin6_scope_id = if_nametoindex(percent + 1);
  return inet_pton(AF_INET6, plain, &address.six.sin6_addr) == 1 ? sizeof address.six : 0;
}

int Socket::bind(const char* text, uint16_t port, bool is_ipv6, bool wants_segments, Socket& socket) {
  Address address;
  const socklen_t length = parse_address(text, port, is_ipv6, address);
  if (length == 0) return EINVAL;
  const int fd = ::socket(is_ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  if (::bind(fd, &address.any, length) != 0) {
    const int error = errno;
    close(fd);
    return error;
  }
  ask_for(fd, SO_RCVBUF, kReceiveBuffer);
  ask_for(fd, SO_SNDBUF, kSendBuffer);
  socket.fd_ = fd;
  socket.is_ipv6_ = is_ipv6;
  // Probed: an older kernel knows neither. A length of 0 for all datagrams means that they go as they are.
  socket.longest_segment_ = wants_segments && is_enabled(fd, UDP_SEGMENT, 0) ? 65535 : 0;
  socket.splits_ = wants_segments && is_enabled(fd, UDP_GRO, 1);
  return 0;
}

}  // namespace pilotwire
