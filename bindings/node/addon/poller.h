// UDP sockets for JavaScript: all of a host share one ring that datagrams are received into, and one epoll set.
#pragma once
#include <napi.h>

#include <unordered_map>

#include "socket.h"
#include "wait.h"

namespace pilotwire {

class Poller : public Napi::ObjectWrap<Poller>, public Waiting {
 public:
  static Napi::Function define(Napi::Env env);
  // ({ thread: boolean, ring: Uint8Array, messages: Uint32Array, received(id, count), writable(id) })
  explicit Poller(const Napi::CallbackInfo& info);
  ~Poller();

  void ready(Napi::Env env) override;
  void ended() override;

 private:
  // (address: string, port: number, isIPv6: boolean, joins: boolean): id. Throws an Error with `code`.
  Napi::Value bind(const Napi::CallbackInfo& info);
  // (id): { address, port, joins, splits }
  Napi::Value describe(const Napi::CallbackInfo& info);
  // (id, { lent: Uint8Array, own: Uint8Array, datagrams: Uint32Array }, first, count): how many are done with.
  Napi::Value send(const Napi::CallbackInfo& info);
  // (message, isIPv6): the sender's address in text, while its batch is told.
  Napi::Value sender(const Napi::CallbackInfo& info);
  // (address: string, isIPv6: boolean): [scope, four words], or undefined.
  static Napi::Value parse(const Napi::CallbackInfo& info);
  // (id, isKept)
  void keep(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  Socket* find(const Napi::CallbackInfo& info);
  bool start(Napi::Env env);
  void stop();
  void update_kept(Napi::Env env);
  void watch(Socket& socket, int operation);
  void receive(Napi::Env env, int id);
  void call(Napi::Env env, const Napi::FunctionReference& function, std::initializer_list<napi_value> arguments);

  bool uses_thread_ = false;
  int epoll_ = -1;
  Wait* wait_ = nullptr;
  std::unordered_map<int, Socket> sockets_;
  Napi::Reference<Napi::Uint8Array> ring_;
  Napi::Reference<Napi::Uint32Array> messages_;
  Napi::FunctionReference received_;
  Napi::FunctionReference writable_;
};

}  // namespace pilotwire
