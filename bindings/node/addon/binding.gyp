# `npm run build:addon`. Release is what runs; Debug is the same under AddressSanitizer and UndefinedBehaviorSanitizer.
{
  'targets': [{
    'target_name': 'pilotwire',
    'sources': [
      'module.cc', 'aead.cc', 'keys.cc', 'kernels.cc', 'gcm-vaes.cc', 'gcm-aesni.cc', 'gcm-armv8.cc',
      'poller.cc', 'socket.cc', 'send.cc', 'receive.cc', 'wait-loop.cc', 'wait-thread.cc',
    ],
    'include_dirs': ['<!(node -p "require(\'node-addon-api\').include_dir")'],
    # The last: a worker may be ended while it is in here, and an error that can no longer be thrown then is none.
    'defines': [
      'NAPI_VERSION=8', 'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
    ],
    'cflags': ['-Wall', '-Wextra', '-Wno-uninitialized', '-Wno-maybe-uninitialized', '-fvisibility=hidden'],
    'cflags_cc!': ['-std=gnu++20', '-std=gnu++17', '-std=gnu++14'],
    'cflags_cc': ['-std=c++17', '-fno-exceptions', '-fno-rtti'],
    'conditions': [['OS!="linux"', {'sources/': [['exclude', '.*']]}]],
    'configurations': {
      'Release': {'cflags': ['-O3']},
      'Debug': {
        'cflags': ['-O1', '-g', '-fno-omit-frame-pointer', '-fsanitize=address,undefined', '-fno-sanitize=vptr'],
        'ldflags': ['-fsanitize=address,undefined'],
      },
    },
  }],
}
