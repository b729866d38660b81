// By a thread, where the loop is not libuv's (Bun, Deno). The thread touches neither sockets nor memory of JavaScript: it
// waits for the epoll set, calls, and waits until JavaScript has read all there was.
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "wait.h"

namespace pilotwire {
namespace {

// Marks the descriptor that ends the waiting.
constexpr uint64_t kEnd = ~0ull;

class ThreadWait final : public Wait {
 public:
  static Wait* start(Napi::Env env, int epoll, Waiting& waiting) {
    ThreadWait* wait = new ThreadWait(env, epoll, waiting);
    wait->end_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    wait->outer_ = epoll_create1(EPOLL_CLOEXEC);
    if (wait->end_ < 0 || wait->outer_ < 0 || !wait->watch(wait->end_, kEnd) || !wait->watch(epoll, 0) ||
        !wait->make_function(env)) {
      delete wait;
      return nullptr;
    }
    napi_add_env_cleanup_hook(env, end, wait);
    wait->thread_ = std::thread([wait] { wait->run(); });
    return wait;
  }

  void keep(Napi::Env env, bool is_kept) override {
    if (is_kept) {
      napi_ref_threadsafe_function(env, function_);
    } else {
      napi_unref_threadsafe_function(env, function_);
    }
  }

  void stop() override {
    napi_remove_env_cleanup_hook(env_, end, this);
    is_stopped_ = true;
    eventfd_write(end_, 1);
    sem_post(&read_);
    thread_.join();
    // A call that is still on its way finds this and does nothing; the function's end deletes it.
    napi_release_threadsafe_function(function_, napi_tsfn_abort);
  }

 private:
  ThreadWait(Napi::Env env, int epoll, Waiting& waiting) : env_(env), epoll_(epoll), waiting_(&waiting) {
    sem_init(&read_, 0, 0);
  }

  ~ThreadWait() override {
    if (end_ >= 0) close(end_);
    if (outer_ >= 0) close(outer_);
    sem_destroy(&read_);
  }

  bool watch(int fd, uint64_t mark) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = mark;
    return epoll_ctl(outer_, EPOLL_CTL_ADD, fd, &event) == 0;
  }

  bool make_function(Napi::Env env) {
    return napi_create_threadsafe_function(
               env, nullptr, nullptr, Napi::String::New(env, "pilotwire"), 0, 1, this,
               [](napi_env, void* data, void*) { static_cast<ThreadWait*>(data)->finalize(); }, this, call,
               &function_) == napi_ok;
  }

  void run() {
    while (!is_stopped_) {
      epoll_event events[2];
      const int count = epoll_wait(outer_, events, 2, -1);
      if (count < 0 && errno != EINTR) return;
      if (is_stopped_) return;
      if (count <= 0) continue;
      if (napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking) != napi_ok) return;
      while (sem_wait(&read_) != 0 && errno == EINTR) {
      }
    }
  }

  // In the thread of JavaScript; without an environment when that is at its end.
  static void call(napi_env env, napi_value, void* context, void*) {
    ThreadWait* wait = static_cast<ThreadWait*>(context);
    if (env == nullptr || wait->is_stopped_) return;
    wait->is_calling_ = true;
    wait->waiting_->ready(Napi::Env(env));
    wait->is_calling_ = false;
    if (wait->is_over_) {
      delete wait;
    } else {
      sem_post(&wait->read_);
    }
  }

  // Some runtimes end the function at once when it is released, also from within it.
  void finalize() {
    is_over_ = true;
    if (!is_calling_) delete this;
  }

  static void end(void* data) {
    ThreadWait* wait = static_cast<ThreadWait*>(data);
    Waiting* waiting = wait->waiting_;
    wait->stop();
    waiting->ended();
  }

  const napi_env env_;
  const int epoll_;
  Waiting* const waiting_;
  int end_ = -1;
  int outer_ = -1;
  sem_t read_;
  std::atomic<bool> is_stopped_{false};
  // Both of JavaScript's thread.
  bool is_calling_ = false;
  bool is_over_ = false;
  napi_threadsafe_function function_ = nullptr;
  std::thread thread_;
};

}  // namespace

Wait* wait_in_thread(Napi::Env env, int epoll, Waiting& waiting) { return ThreadWait::start(env, epoll, waiting); }

}  // namespace pilotwire
