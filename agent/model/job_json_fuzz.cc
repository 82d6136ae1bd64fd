// Bodies of the HTTP API: whatever is accepted must come out the same when it is written and read again, and must be
// readable from its bytes, as the log will need it.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/model/canonicalize.h"
#include "agent/model/validate.h"
#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"
#include "init/base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace steppe;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  schema::Job job;
  if (!schema::read_json(text, &job).ok()) return 0;
  const std::string once = schema::write_json(job, {.redact = false});
  schema::Job again;
  STEPPE_ASSERT(schema::read_json(once, &again).ok());
  STEPPE_ASSERT(schema::write_json(again, {.redact = false}) == once);
  STEPPE_ASSERT(again.ParseFromString(job.SerializeAsString()));
  model::canonicalize(&job);
  (void)model::validate(job).error_text();
  return 0;
}
