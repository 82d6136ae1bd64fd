#pragma once

#include <string>
#include <string_view>

#include "agent/client/task_env.h"
#include "init/base/result.h"

namespace steppe::client {

struct TemplateSyntax {
  std::string left = "{{", right = "}}";
  bool missing_is_error = false;  // error_on_missing_key
};

// Renders a template. Known so far: literal text; {{ env "NAME" }}; {{ "literal" }}; comments {{/* ... */}}; and the trims
// {{- and -}}. Names are those of TaskEnv::lookup; a missing one renders nothing, or is an error when the syntax says so.
// Everything else is kUnsupported and named with its line, never rendered as text.
Result<std::string> render_template(std::string_view text, const TaskEnv& env, const TemplateSyntax& syntax);

// KEY=VALUE lines of a rendered template with env = true: blank lines and # comments are skipped, an "export " prefix is
// dropped, values may stand in single or double quotes (\n \t \" \\ in double ones). The error names the line.
Result<EnvMap> parse_env_file(std::string_view text);

}  // namespace steppe::client
