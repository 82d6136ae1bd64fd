#pragma once

#include <cstdint>

namespace steppe::frame {

// Every frame type in the tree, so that none is used twice. Never reuse a number.
enum Type : uint16_t {
  kTaskHandle = 1,
  kExecutorRequest = 2,
  kExecutorReply = 3,
  kExitRecord = 4,
  kPlan = 5,
  kTaskProfile = 6,
  kClientNode = 20,
  kClientAlloc = 21,
  kClientTask = 22,
  kClientHealth = 23,
  kArtifactRequest = 24,
  kImageManifest = 40,
  kImageExtension = 41,
  kSlotRecord = 42,
  kImageVerdict = 43,
  kExtensionRecord = 50,
  kExtensionSignature = 51,
  kExtensionVerdict = 52,
  kExtensionStates = 53,
  kControlRequest = 60,
  kControlReply = 61,
};

}  // namespace steppe::frame
