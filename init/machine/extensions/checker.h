#pragma once

#include "init/upgrade/extension/files.h"
#include "init/upgrade/verify/extension.h"

namespace steppe::extensions {

// verify::check_extension() of the file in a child that can do nothing but read it and say its verdict. Called while this process has one
// thread. A child that takes longer than five minutes, or says nothing that makes sense, is an error.
Result<verify::ExtensionFit> check_confined(const extension::Found& found, const verify::ExtensionWanted& wanted);

}  // namespace steppe::extensions
