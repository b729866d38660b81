// Waits, outside of JavaScript's turn, until something can be done on an epoll set, and then says so in the thread of
// JavaScript. Where libuv runs the loop it does the waiting; elsewhere a thread does.
#pragma once
#include <napi.h>

namespace pilotwire {

// What `Wait` calls. Its thread is always that of JavaScript.
class Waiting {
 public:
  virtual void ready(Napi::Env env) = 0;
  // The environment ends, and with it the waiting: there is nothing to `stop` any more.
  virtual void ended() = 0;

 protected:
  ~Waiting() = default;
};

class Wait {
 public:
  virtual ~Wait() = default;
  // Whether the process stays for it.
  virtual void keep(Napi::Env env, bool is_kept) = 0;
  // Ends the waiting; `ready` is not called again. The object deletes itself.
  virtual void stop() = 0;
};

// Both: null when the system refuses. `epoll` stays open until `stop`.
Wait* wait_in_loop(Napi::Env env, int epoll, Waiting& waiting);
Wait* wait_in_thread(Napi::Env env, int epoll, Waiting& waiting);

}  // namespace pilotwire
