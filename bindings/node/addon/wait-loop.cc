// By libuv, in Node: its loop waits for the epoll set.
#include <uv.h>

#include "wait.h"

namespace pilotwire {
namespace {

class LoopWait final : public Wait {
 public:
  static Wait* start(Napi::Env env, int epoll, Waiting& waiting) {
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return nullptr;
    LoopWait* wait = new LoopWait(env, waiting);
    if (uv_poll_init(loop, &wait->poll_, epoll) != 0) {
      delete wait;
      return nullptr;
    }
    wait->poll_.data = wait;
    // A handle of libuv lives until the loop has closed it, and an environment has to wait for that.
    napi_add_async_cleanup_hook(env, end, wait, &wait->hook_);
    uv_poll_start(&wait->poll_, UV_READABLE, run);
    return wait;
  }

  void keep(Napi::Env, bool is_kept) override {
    if (is_kept) {
      uv_ref(reinterpret_cast<uv_handle_t*>(&poll_));
    } else {
      uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
    }
  }

  void stop() override {
    waiting_ = nullptr;
    uv_poll_stop(&poll_);
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
      LoopWait* wait = static_cast<LoopWait*>(handle->data);
      napi_remove_async_cleanup_hook(wait->hook_);
      delete wait;
    });
  }

 private:
  LoopWait(Napi::Env env, Waiting& waiting) : env_(env), waiting_(&waiting) {}

  static void run(uv_poll_t* poll, int status, int) {
    LoopWait* wait = static_cast<LoopWait*>(poll->data);
    if (status != 0 || wait->waiting_ == nullptr) return;
    const Napi::Env env(wait->env_);
    const Napi::HandleScope scope(env);
    wait->waiting_->ready(env);
  }

  static void end(napi_async_cleanup_hook_handle, void* data) {
    LoopWait* wait = static_cast<LoopWait*>(data);
    Waiting* waiting = wait->waiting_;
    // Otherwise it is stopped, and about to be closed.
    if (waiting == nullptr) return;
    wait->stop();
    waiting->ended();
  }

  const napi_env env_;
  Waiting* waiting_;
  uv_poll_t poll_;
  napi_async_cleanup_hook_handle hook_ = nullptr;
};

}  // namespace

Wait* wait_in_loop(Napi::Env env, int epoll, Waiting& waiting) { return LoopWait::start(env, epoll, waiting); }

}  // namespace pilotwire
