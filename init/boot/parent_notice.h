#pragma once

#include <string_view>

namespace steppe::boot {

// A child of PID 1 says how it is (sd_notify(3): "READY=1", "STATUS=..."), to $NOTIFY_SOCKET. Without that variable nothing happens.
void tell_parent(std::string_view lines);

}  // namespace steppe::boot
