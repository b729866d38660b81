#include "poller.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace pilotwire {
namespace {

// Sockets that one waking serves, and batches that each of them may have of it.
constexpr int kEvents = 64;
constexpr int kRounds = 4;

const char* name_of(int error) {
  switch (error) {
    case EADDRINUSE: return "EADDRINUSE";
    case EACCES: return "EACCES";
    case EADDRNOTAVAIL: return "EADDRNOTAVAIL";
    case EAFNOSUPPORT: return "EAFNOSUPPORT";
    case EMFILE: return "EMFILE";
    case ENFILE: return "ENFILE";
    case EINVAL: return "EINVAL";
    default: return "EIO";
  }
}

Napi::Value fail(Napi::Env env, int error) {
  const Napi::Error failure = Napi::Error::New(env, std::strerror(error));
  failure.Set("code", Napi::String::New(env, name_of(error)));
  failure.ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value refuse(Napi::Env env, const char* why) {
  Napi::TypeError::New(env, why).ThrowAsJavaScriptException();
  return env.Undefined();
}

Bytes bytes_of(const Napi::Value& value) {
  Napi::Uint8Array array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

}  // namespace

Napi::Function Poller::define(Napi::Env env) {
  return DefineClass(env, "Poller",
                     {InstanceMethod<&Poller::bind>("bind"), InstanceMethod<&Poller::describe>("describe"),
                      InstanceMethod<&Poller::send>("send"), InstanceMethod<&Poller::sender>("sender"),
                      InstanceMethod<&Poller::keep>("keep"), InstanceMethod<&Poller::close>("close"),
                      StaticMethod<&Poller::parse>("parse"), StaticValue("messageWords", Napi::Number::New(env, kMessageWords)),
                      StaticValue("sendWords", Napi::Number::New(env, kSendWords)),
                      StaticValue("slotBytes", Napi::Number::New(env, kSlotBytes))});
}

Poller::Poller(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Poller>(info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsObject()) {
    refuse(env, "Poller needs options");
    return;
  }
  const Napi::Object options = info[0].As<Napi::Object>();
  const Napi::Value ring = options.Get("ring"), messages = options.Get("messages");
  const Napi::Value received = options.Get("received"), writable = options.Get("writable");
  if (!ring.IsTypedArray() || !messages.IsTypedArray() || !received.IsFunction() || !writable.IsFunction()) {
    refuse(env, "Poller needs ring, messages, received and writable");
    return;
  }
  if (messages.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array ||
      ring.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    refuse(env, "Poller needs a ring of bytes and messages of 32-bit words");
    return;
  }
  uses_thread_ = options.Get("thread").ToBoolean();
  // Kept by the object of JavaScript, where its collector sees that they may in turn keep that object. From here they are
  // weak: what is reached from outside of it would keep both for ever.
  Napi::Object self = info.This().As<Napi::Object>();
  self.DefineProperties({Napi::PropertyDescriptor::Value("ring", ring), Napi::PropertyDescriptor::Value("messages", messages),
                         Napi::PropertyDescriptor::Value("received", received),
                         Napi::PropertyDescriptor::Value("writable", writable)});
  ring_ = Napi::Weak(ring.As<Napi::Uint8Array>());
  messages_ = Napi::Weak(messages.As<Napi::Uint32Array>());
  received_ = Napi::Weak(received.As<Napi::Function>());
  writable_ = Napi::Weak(writable.As<Napi::Function>());
}

Poller::~Poller() {
  for (const auto& [id, socket] : sockets_) ::close(id);
  // With a socket open this object is kept, up to the end of the environment, which `ended` has told of.
}

Napi::Value Poller::bind(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 4 || !info[0].IsString() || !info[1].IsNumber()) return refuse(env, "bind needs address and port");
  const std::string address = info[0].As<Napi::String>().Utf8Value();
  const uint16_t port = static_cast<uint16_t>(info[1].As<Napi::Number>().Uint32Value());
  Socket socket;
  const int error = Socket::bind(address.c_str(), port, info[2].ToBoolean(), info[3].ToBoolean(), socket);
  if (error != 0) return fail(env, error);
  if (wait_ == nullptr && !start(env)) {
    ::close(socket.fd());
    return fail(env, EMFILE);
  }
  sockets_[socket.fd()] = socket;
  watch(socket, EPOLL_CTL_ADD);
  update_kept(env);
  return Napi::Number::New(env, socket.fd());
}

Napi::Value Poller::describe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Socket* socket = find(info);
  if (socket == nullptr) return refuse(env, "No such socket");
  Address address = {};
  socklen_t length = sizeof address;
  getsockname(socket->fd(), &address.any, &length);
  char text[INET6_ADDRSTRLEN] = "";
  if (socket->is_ipv6()) {
    inet_ntop(AF_INET6, &address.six.sin6_addr, text, sizeof text);
  } else {
    inet_ntop(AF_INET, &address.four.sin_addr, text, sizeof text);
  }
  Napi::Object answer = Napi::Object::New(env);
  answer.Set("address", text);
  answer.Set("port", ntohs(socket->is_ipv6() ? address.six.sin6_port : address.four.sin_port));
  answer.Set("joins", socket->joins());
  answer.Set("splits", socket->splits());
  return answer;
}

Napi::Value Poller::send(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Socket* socket = find(info);
  if (socket == nullptr || info.Length() < 4 || !info[1].IsObject() || !info[2].IsNumber() || !info[3].IsNumber()) {
    return refuse(env, "send needs a socket, buffers and which datagrams");
  }
  const Napi::Object buffers = info[1].As<Napi::Object>();
  const Napi::Value lent = buffers.Get("lent"), own = buffers.Get("own"), words = buffers.Get("datagrams");
  if (!lent.IsTypedArray() || !own.IsTypedArray() || !words.IsTypedArray() ||
      words.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) {
    return refuse(env, "send needs two buffers and datagrams");
  }
  Napi::Uint32Array datagrams = words.As<Napi::Uint32Array>();
  const uint64_t first = info[2].As<Napi::Number>().Uint32Value();
  const uint64_t count = info[3].As<Napi::Number>().Uint32Value();
  if ((first + count) * kSendWords * 4 > datagrams.ByteLength()) return refuse(env, "send: there are not so many datagrams");
  const size_t done = socket->send(bytes_of(lent), bytes_of(own), datagrams.Data() + first * kSendWords, count);
  if (socket->is_blocked != (done < count)) {
    socket->is_blocked = done < count;
    watch(*socket, EPOLL_CTL_MOD);
  }
  return Napi::Number::New(env, static_cast<double>(done));
}

Napi::Value Poller::sender(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Uint32Array messages = messages_.Value();
  const uint64_t at = info.Length() > 0 && info[0].IsNumber() ? info[0].As<Napi::Number>().Uint32Value() : ~0u;
  if ((at + 1) * kMessageWords > messages.ElementLength()) return refuse(env, "sender: no such message");
  const uint32_t* message = messages.Data() + at * kMessageWords;
  const bool is_ipv6 = info.Length() > 1 && info[1].ToBoolean();
  char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1] = "";
  inet_ntop(is_ipv6 ? AF_INET6 : AF_INET, message + kMessageAddress, text, INET6_ADDRSTRLEN);
  if (message[kMessageScope] != 0) {
    char name[IF_NAMESIZE];
    std::strcat(text, "%");
    std::strcat(text, if_indextoname(message[kMessageScope], name) != nullptr ? name : "0");
  }
  return Napi::String::New(env, text);
}

Napi::Value Poller::parse(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 2 || !info[0].IsString()) return env.Undefined();
  const std::string text = info[0].As<Napi::String>().Utf8Value();
  const bool is_ipv6 = info[1].ToBoolean();
  Address address;
  if (parse_address(text.c_str(), 0, is_ipv6, address) == 0) return env.Undefined();
  uint32_t words[5] = {};
  if (is_ipv6) {
    words[0] = address.six.sin6_scope_id;
    std::memcpy(words + 1, &address.six.sin6_addr, 16);
  } else {
    std::memcpy(words + 1, &address.four.sin_addr, 4);
  }
  const Napi::Array answer = Napi::Array::New(env, 5);
  for (uint32_t i = 0; i < 5; ++i) answer.Set(i, Napi::Number::New(env, words[i]));
  return answer;
}

void Poller::keep(const Napi::CallbackInfo& info) {
  Socket* socket = find(info);
  if (socket == nullptr || info.Length() < 2) return;
  socket->is_kept = info[1].ToBoolean();
  update_kept(info.Env());
}

void Poller::close(const Napi::CallbackInfo& info) {
  const Socket* socket = find(info);
  if (socket == nullptr) return;
  const int id = socket->fd();
  sockets_.erase(id);
  ::close(id);
  if (sockets_.empty()) {
    stop();
  } else {
    update_kept(info.Env());
  }
}

Socket* Poller::find(const Napi::CallbackInfo& info) {
  if (info.Length() == 0 || !info[0].IsNumber()) return nullptr;
  const auto found = sockets_.find(info[0].As<Napi::Number>().Int32Value());
  return found == sockets_.end() ? nullptr : &found->second;
}

bool Poller::start(Napi::Env env) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return false;
  wait_ = uses_thread_ ? wait_in_thread(env, epoll_, *this) : wait_in_loop(env, epoll_, *this);
  if (wait_ == nullptr) {
    ::close(epoll_);
    return false;
  }
  // What waits holds a pointer to this.
  Ref();
  return true;
}

void Poller::stop() {
  if (wait_ == nullptr) return;
  wait_->stop();
  wait_ = nullptr;
  ::close(epoll_);
  Unref();
}

void Poller::update_kept(Napi::Env env) {
  const bool is_kept = std::any_of(sockets_.begin(), sockets_.end(), [](const auto& entry) { return entry.second.is_kept; });
  if (wait_ != nullptr) wait_->keep(env, is_kept);
}

void Poller::watch(Socket& socket, int operation) {
  epoll_event event = {};
  event.events = EPOLLIN | (socket.is_blocked ? static_cast<uint32_t>(EPOLLOUT) : 0u);
  event.data.fd = socket.fd();
  epoll_ctl(epoll_, operation, socket.fd(), &event);
}

void Poller::ended() {
  wait_ = nullptr;
  ::close(epoll_);
  epoll_ = -1;
}

void Poller::ready(Napi::Env env) {
  // Held until this is over: with the last socket the object loses what kept it, and a collector may run at any time.
  const Napi::HandleScope scope(env);
  const Napi::Object self = Value();
  if (self.IsEmpty()) return;
  epoll_event events[kEvents];
  const int count = epoll_wait(epoll_, events, kEvents, 0);
  for (int i = 0; i < count; ++i) {
    const int id = events[i].data.fd;
    // Whoever is called may close sockets, the last one included, or bind new ones.
    if (sockets_.count(id) == 0) continue;
    if (events[i].events & EPOLLOUT) call(env, writable_, {Napi::Number::New(env, id)});
    if (events[i].events & ~static_cast<uint32_t>(EPOLLOUT)) receive(env, id);
  }
}

void Poller::receive(Napi::Env env, int id) {
  for (int round = 0; round < kRounds; ++round) {
    const auto found = sockets_.find(id);
    if (found == sockets_.end()) return;
    const Napi::HandleScope scope(env);
    Napi::Uint8Array ring = ring_.Value();
    Napi::Uint32Array messages = messages_.Value();
    const size_t slots = std::min({ring.ByteLength() / kSlotBytes, messages.ElementLength() / kMessageWords, kBatch});
    const size_t asked = std::min(slots, found->second.wanted());
    const size_t count = ring.Data() == nullptr ? 0 : found->second.receive(ring.Data(), messages.Data(), slots);
    if (count == 0) return;
    call(env, received_, {Napi::Number::New(env, id), Napi::Number::New(env, static_cast<double>(count))});
    // There are no more.
    if (count < asked) return;
  }
}

void Poller::call(Napi::Env env, const Napi::FunctionReference& function, std::initializer_list<napi_value> arguments) {
  const Napi::HandleScope scope(env);
  // Not by the wrapper: in a worker that is being ended nothing can be called, and it would end the process over that.
  napi_value callee, global;
  // Deno writes the answer in any case.
  napi_value answer;
  if (napi_get_reference_value(env, function, &callee) != napi_ok || callee == nullptr) return;
  if (napi_get_global(env, &global) != napi_ok) return;
  if (napi_make_callback(env, nullptr, global, callee, arguments.size(), arguments.begin(), &answer) == napi_ok) return;
  napi_value error;
  bool is_pending = false;
  if (napi_is_exception_pending(env, &is_pending) != napi_ok || !is_pending) return;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

}  // namespace pilotwire
