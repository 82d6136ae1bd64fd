#include <gtest/gtest.h>

#include <format>

#include "init/hcl/eval.h"
#include "init/hcl/lexer.h"
#include "init/hcl/parser.h"

namespace steppe::hcl {
namespace {

// Writes a value so that kinds are visible: tuples "(…)", lists "[…]", sets "{|…|}", objects "{…}", maps "<…>".
std::string show(const Value& value) {
  auto items = [&](std::string open, std::string close) {
    std::string out = open;
    if (value.is_sequence()) {
      for (const Value& item : value.sequence()) out += (out == open ? "" : " ") + show(item);
    } else {
      for (const auto& [key, item] : value.mapping()) out += (out == open ? "" : " ") + key + "=" + show(item);
    }
    return out + close;
  };
  switch (value.kind()) {
    case Kind::kNull: return "null";
    case Kind::kBool: return value.boolean() ? "true" : "false";
    case Kind::kNumber: return value.number().text();
    case Kind::kString: return "'" + value.string() + "'";
    case Kind::kTuple: return items("(", ")");
    case Kind::kList: return items("[", "]");
    case Kind::kSet: return items("{|", "|}");
    case Kind::kObject: return items("{", "}");
    case Kind::kMap: return items("<", ">");
  }
  return "?";
}

FunctionTable test_functions() {
  FunctionTable table;
  Function add_all;
  add_all.rest = Function::Parameter{"numbers", Type::number()};
  add_all.call = [](std::span<const Value> arguments, Budget&) -> Result<Value> {
    int64_t sum = 0;
    for (const Value& argument : arguments) sum += argument.number().integer();
    return Value(Number(sum));
  };
  table["sum"] = add_all;
  return table;
}

struct Outcome {
  std::optional<Value> value;
  Diagnostics diagnostics;
  std::string shown() const { return value ? show(*value) : "error: " + diagnostics.text(); }
};

Outcome run(const std::string& text, UnknownName unknown = UnknownName::kError, Budget budget = Budget()) {
  Outcome outcome;
  Source source{"t.hcl", text};
  ExprPtr expr = parse_expression(source, outcome.diagnostics);
  if (!expr) return outcome;
  FunctionTable functions = test_functions();
  Scope scope;
  scope.variables["xs"] = *Value::make_sequence(Kind::kList, {Value("a"), Value("b")});
  scope.variables["nothing"] = Value();
  Evaluation evaluation{source, &scope, functions, budget, outcome.diagnostics, unknown};
  outcome.value = evaluate(*expr, evaluation);
  return outcome;
}

struct Yield {
  const char* text;
  const char* expected;
};
const Yield kYields[] = {
    {"1 + 2 * 3", "7"},
    {"(1 + 2) * 3", "9"},
    {"-7 % 3", "-1"},
    {"7.5 % 2", "1.5"},
    {"10 / 4", "2.5"},
    {"10 / 5", "2"},
    {"0.1 + 0.2", "0.3"},
    {"1.1 * 100", "110"},
    {"2e3", "2000"},
    {"9223372036854775807", "9223372036854775807"},
    {"-9223372036854775807 - 1", "-9223372036854775808"},
    {"\"5\" + 1", "6"},
    {"1 > \"0\"", "true"},
    {"1 == \"1\"", "false"},
    {"[1] == [1]", "true"},
    {"null == null", "true"},
    {"1 == null", "false"},
    {"!true || 2 <= 2 && 1 != 2", "true"},
    {"!\"true\"", "false"},
    {"true ? 1 : 2", "1"},
    {"false ? 1 : true ? 2 : 3", "2"},
    {"true ? 1 : \"a\"", "'1'"},
    {"true ? 1 : null", "1"},
    {"true ? [1] : [\"a\"]", "('1')"},
    {"true ? [1] : [\"a\", 2]", "['1']"},
    {"true ? {a=1} : {}", "<a=1>"},
    {"nothing == null ? 0 : nothing.size", "0"},
    {"\"${5}\"", "5"},
    {"\"${5}${6}\"", "'56'"},
    {"\"a${true}b\"", "'atrueb'"},
    {"\"%{if true}${5}%{endif}\"", "'5'"},
    {"\"%{ for v in [\"a\",\"b\"] }<${v}>%{ endfor }\"", "'<a><b>'"},
    {"\"%{ for i, v in [\"a\",\"b\"] ~} ${i}<${v}> %{~ endfor }\"", "'0<a>1<b>'"},
    {"\"%{ if false }x%{ else }y%{ endif }\"", "'y'"},
    {"\"a $${x} %%{if} $ % $$ \\u00e9\\U0001F600\\t\\\"\\\\\"", "'a ${x} %{if} $ % $$ \xC3\xA9\xF0\x9F\x98\x80\t\"\\'"},
    {"\"${\"${\"in\"}ner\"}\"", "'inner'"},
    {"xs[0]", "'a'"},
    {"xs.1", "'b'"},
    {"xs[\"1\"]", "'b'"},
    {"[[1,2],3].0.1", "2"},
    {"{a={b=[10,20]}}.a.b[1]", "20"},
    {"{a=1}[\"a\"]", "1"},
    {"[{a=1},{a=2}].*.a", "(1 2)"},
    {"[{a=[1,2]},{a=[3]}][*].a[0]", "(1 3)"},
    {"[{a=[1,2]},{a=[3]}].*.a[0]", "(1 2)"},
    {"[[{a=1}],[{a=2}]][*][*].a", "((1) (2))"},
    {"\"a\"[*]", "('a')"},
    {"null[*]", "()"},
    {"[for s in xs: \"${s}!\"]", "('a!' 'b!')"},
    {"[for i, s in xs: i if s != \"a\"]", "(1)"},
    {"{for i, s in xs: s => i}", "{a=0 b=1}"},
    {"{for s in [\"a\",\"b\",\"a\"]: s => 1...}", "{a=(1 1) b=(1)}"},
    {"{for k, v in {x=1}: v => k}", "{1='x'}"},
    {"{\"a b\"=1, (\"c\")=2, d:3, 5=6, true=7, for=8}", "{5=6 a b=1 c=2 d=3 for=8 true=7}"},
    {"{\n a = 1\n b = 2, c = 3\n}", "{a=1 b=2 c=3}"},
    {"{a=1, a=2}", "{a=2}"},
    {"[\n1,\n2,\n]", "(1 2)"},
    {"sum(1, xs == [] ? 1 : 2, [3, 4]...)", "10"},
    {"sum()", "0"},
    {"/* c */ 1 // x", "1"},
    {"<<EOT\nhi ${1 + 1}\n  two\nEOT\n", "'hi 2\n  two\n'"},
    {"<<-EOT\n   a\n\n     b\n  ${\"x\"}\n   c\n  EOT\n", "' a\n\n   b\nx\n c\n'"},
    {"<<-EOT\n   a\n  %{ if true }\n     b\n %{ endif }\n   c\n  EOT\n", "'  a\n \n    b\n\n  c\n'"},
    {"<<-EOT\n   a\n  %{ if true ~}\n     b\n %{~ endif }\n   c\n  EOT\n", "'   a\n       b\n\n   c\n'"},
    {"<<EOT\na\n\n   ${~ \"x\" ~}  \n\n  b\nEOT\n", "'a\n\nx\n  b\n'"},
    {"<<EOT\nEOTX\n\\n $${a}\n  EOT\n", "'EOTX\n\\n ${a}\n'"},
    {"<<EOT\nEOT\n", "''"},
};

TEST(Expression, Yields) {
  for (const Yield& c : kYields) EXPECT_EQ(run(c.text).shown(), c.expected) << c.text;
}

TEST(Expression, FailsWithPlaceAndReason) {
  struct Case {
    const char* text;
    const char* expected;  // part of the message
  };
  const Case cases[] = {
      {"1 +", "t.hcl:1,4-4: Invalid expression"},
      {"1 / 0", "division by zero"},
      {"\"a\" + 1", "Unsuitable value for left operand: a number is required"},
      {"true ? 1 : [1]", "The 'true' value is number, but the 'false' value is tuple"},
      {"\"x${[1]}\"", "string is required, but found tuple"},
      {"\"x${null}\"", "Cannot include a null value"},
      {"xs[5]", "index 5 does not identify an element"},
      {"xs[1.5]", "fractional"},
      {"xs.foo", "[*].foo"},
      {"{abc=1}.abd", "Did you mean \"abc\"?"},
      {"nosuch.x", "There is no variable named \"nosuch\""},
      {"sun(1)", "Did you mean \"sum\"?"},
      {"sum(\"x\")", "a number is required"},
      {"{for s in [\"a\",\"a\"]: s => 1}", "Two different items produced the key \"a\""},
      {"[for x in 5: x]", "cannot be iterated"},
      {"{a.b=1}", "Ambiguous attribute key"},
      {"{a=1 b=2}", "Missing attribute separator"},
      {"[1 2]", "Found the number 2"},
      {"sum(1 2)", "Missing argument separator"},
      {"\"abc", "Unterminated string"},
      {"\"a\nb\"", "Invalid multi-line string"},
      {"\"\\q\"", "Invalid escape sequence"},
      {"\"${1\"", "Unterminated"},
      {"\"%{ if true }x\"", "has no %{ endif }"},
      {"\"%{ endif }\"", "No \"if\" or \"for\" is open"},
      {"\"%{ when x }\"", "Invalid template directive"},
      {"<<EOT\nabc\n", "No line holds only the end marker \"EOT\""},
      {"<<EOT abc\n", "Invalid heredoc"},
      {"'a'", "Use double quotes"},
      {"\xE2\x80\x9C"
       "a\xE2\x80\x9D",
       "Curly quotes"},
      {"1 2", "Extra characters after expression"},
      {"a & b", "\"&&\""},
      {"\"\xC3\x28\"", "must be UTF-8"},
      {"1e999", "outside the range"},
      {"1e308 * 10", "outside the range"},
      {"a ? 1", "requires a second result"},
      {"[].*.a.*.b", "Nested splat"},
  };
  for (const Case& c : cases) {
    Outcome result = run(c.text);
    EXPECT_FALSE(result.value) << c.text;
    EXPECT_NE(result.diagnostics.text().find(c.expected), std::string::npos)
        << c.text << "\nexpected: " << c.expected << "\nfound: " << result.diagnostics.text();
  }
}

TEST(Expression, KeepsUnknownReferencesAsText) {
  auto keep = [](const char* text) { return run(text, UnknownName::kKeepText).shown(); };
  EXPECT_EQ(keep("\"${attr.kernel.name}\""), "'${attr.kernel.name}'");
  EXPECT_EQ(keep("\"${ node.unique.id }:${NOMAD_PORT_http}\""), "'${ node.unique.id }:${NOMAD_PORT_http}'");
  EXPECT_EQ(keep("attr.unique.network.ip-address"), "'${attr.unique.network.ip-address}'");
  EXPECT_EQ(keep("\"${env[\"HOME\"]}\""), "'${env[\"HOME\"]}'");
  EXPECT_EQ(keep("\"${xs[0]}${meta.rack}\""), "'a${meta.rack}'");
  EXPECT_EQ(keep("[for x in [1]: \"${x}-${job.y}\"]"), "('1-${job.y}')");
  EXPECT_EQ(keep("(attr.x)"), "'${attr.x}'");
}

TEST(Diagnostic, ShowsPlaceAndCarets) {
  Outcome result = run("1 + nosuch.port");
  ASSERT_EQ(result.diagnostics.list().size(), 1u);
  EXPECT_EQ(result.diagnostics.list()[0].text(),
            "t.hcl:1,5-11: Unknown variable; There is no variable named \"nosuch\".\n"
            "    1 | 1 + nosuch.port\n"
            "      |     ^^^^^^");
}

Body parse(const std::string& text, Diagnostics& diagnostics) {
  Source source{"t.hcl", text};
  return parse_body(source, diagnostics);
}

// A terminal that shows an excerpt is not driven by it, and the carets stand where they belong.
TEST(Diagnostic, ExcerptsHoldNoControls) {
  const std::string line = "a\x7f\x1b[2J\xff\x9b\xc2\x9b \xc3\xa9 = !";
  const Source source{"t", line};
  Diagnostics found;
  found.error(source, {static_cast<uint32_t>(line.size() - 1), static_cast<uint32_t>(line.size())}, "Bad", "");
  EXPECT_EQ(found.text(), std::format("t:1,{}-{}: Bad\n    1 | a??[2J???? \xc3\xa9 = !\n      |                ^", 14, 15)) << found.text();
}

TEST(BodySyntax, ReadsAttributesAndBlocks) {
  Diagnostics diagnostics;
  Body body = parse(
      "# c\na = 1\r\nempty {}\none { x = 1 }\njob \"web\" bare {\n  b = 2 // c\n  inner {\n    c = [\n 1 ]\n  }\n}",
      diagnostics);
  ASSERT_FALSE(diagnostics.has_errors()) << diagnostics.text();
  ASSERT_EQ(body.attributes.size(), 1u);
  ASSERT_EQ(body.blocks.size(), 3u);
  EXPECT_EQ(body.blocks[1].body.attributes.size(), 1u);
  ASSERT_EQ(body.blocks[2].labels.size(), 2u);
  EXPECT_EQ(body.blocks[2].labels[0].text, "web");
  EXPECT_EQ(body.blocks[2].labels[1].text, "bare");
  EXPECT_EQ(body.blocks[2].body.blocks[0].body.attributes[0].name, "c");
}

TEST(BodySyntax, CollectsSeveralErrors) {
  Diagnostics diagnostics;
  Body body = parse("a = = 1\nb = 2\nc {\n  d = \n  e = 3\n}\nf = [1 2]\nb = 4\n= 5\n\"g\" = 6\n", diagnostics);
  EXPECT_EQ(diagnostics.error_count(), 6u) << diagnostics.text();
  EXPECT_NE(diagnostics.text().find("t.hcl:1,5-6: Invalid expression"), std::string::npos) << diagnostics.text();
  EXPECT_NE(diagnostics.text().find("\"b\" was already set at t.hcl:2"), std::string::npos) << diagnostics.text();
  EXPECT_EQ(body.attributes.size(), 1u);
  EXPECT_EQ(body.blocks.size(), 1u);
}

TEST(BodySyntax, RefusesOddForms) {
  const char* cases[][2] = {
      {"a {\n", "no closing brace"},         {"a { b = 1\n}", "holds at most one argument"},
      {"a = 1 b = 2", "line must end"},      {"a: 1", "Write \"=\" and not \":\""},
      {"a \"x${1}\" {}", "plain string"},    {"a 5 {}", "expected \"=\""},
      {"a = 1,\n", "not divided by commas"}, {"}\n", "but found \"}\""},
      {"/* x", "Unterminated comment"},      {"a = \"${x\n", "Unterminated"},
  };
  for (auto& [text, expected] : cases) {
    Diagnostics diagnostics;
    parse(text, diagnostics);
    EXPECT_NE(diagnostics.text().find(expected), std::string::npos) << text << "\n" << diagnostics.text();
  }
}

TEST(BodySyntax, ConfigurationDialect) {
  Source source{"t.hcl",
                "a = 1, \"b.c\" = 2\nopts {\n  \"driver.x\" = \"1\",\n  \"y\" { z = 1 w = 2 }\n}\nplugin \"docker\" { "
                "config { a = true, b = [1] } }\n"};
  Diagnostics diagnostics;
  Body body = parse_body(source, diagnostics, Dialect::kConfiguration);
  ASSERT_FALSE(diagnostics.has_errors()) << diagnostics.text();
  EXPECT_EQ(body.attributes[1].name, "b.c");
  EXPECT_EQ(body.blocks[0].body.attributes[0].name, "driver.x");
  EXPECT_EQ(body.blocks[0].body.blocks[0].body.attributes.size(), 2u);
  EXPECT_EQ(body.blocks[1].body.blocks[0].body.attributes.size(), 2u);
  parse_body(source, diagnostics);
  EXPECT_TRUE(diagnostics.has_errors());
}

std::string repeat(std::string_view text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

// One megabyte of nesting, in every construct that nests: a clear error, no crash.
TEST(Limits, DeepNestingIsAnError) {
  const std::pair<const char*, const char*> forms[] = {
      {"[", "]"},
      {"(", ")"},
      {"{a=", "}"},
      {"!", ""},
      {"-", ""},
      {"sum(", ")"},
      {"\"${", "}\""},
      {"[for x in ", ": x]"},
      {"true ? ", " : 1"},
      {"true ? 1 : ", ""},
      {"xs[", "]"},
      {"<<A\n${", "}\nA\n"},
      {"\"%{if true}", "%{endif}\""},
  };
  for (auto& [open, close] : forms) {
    std::string text = repeat(open, 10000) + "1" + repeat(close, 10000);
    Outcome result = run(text);
    EXPECT_FALSE(result.value);
    EXPECT_TRUE(result.diagnostics.has_errors()) << open;
    EXPECT_LE(result.diagnostics.error_count(), Diagnostics::kMaxErrors + 1) << open;
  }
  for (const char* open : {"a {\n", "a \"b\" {\n", "a = {\n"}) {
    Diagnostics diagnostics;
    parse(repeat(open, 10000), diagnostics);
    EXPECT_NE(diagnostics.text().find("Nesting too deep"), std::string::npos) << open;
  }
  Diagnostics diagnostics;
  parse(repeat(std::string(90, ' ') + "job {\n", 10000) + repeat("}\n", 10000), diagnostics);
  EXPECT_NE(diagnostics.text().find("t.hcl:201,"), std::string::npos) << diagnostics.text();
}

TEST(Limits, LongChainsAreErrorsOrFine) {
  for (std::string link : {" + 1", " && true", "[*]", ".*", " == 1"}) {
    Outcome result = run("1" + repeat(link, 100000));
    EXPECT_FALSE(result.value) << link;
  }
  EXPECT_FALSE(run("sum()" + repeat("[0]", 100000)).value);
  EXPECT_EQ(run("1" + repeat(" + 1", 300)).shown(), "301");
  Outcome wide = run("[" + repeat("1,", 100000) + "]");
  ASSERT_TRUE(wide.value);
  EXPECT_EQ(wide.value->size(), 100000u);
}

TEST(Limits, ManyErrorsStayCheap) {
  Diagnostics diagnostics;
  parse(repeat("a = 1\n", 100000), diagnostics);
  EXPECT_EQ(diagnostics.error_count(), 99999u);
  EXPECT_EQ(diagnostics.list().size(), Diagnostics::kMaxErrors);
  EXPECT_NE(diagnostics.text().find("and 99967 more errors"), std::string::npos);
}

TEST(Limits, WorkAndDataAreBounded) {
  std::string items = "[" + repeat("1,", 1000) + "]";
  std::string loop = "[for a in " + items + ": [for b in " + items + ": [for c in " + items + ": c]]]";
  EXPECT_NE(run(loop).shown().find("Evaluation limit reached"), std::string::npos);
  std::string text = "[for a in " + items + ": \"${a}" + repeat("x", 1000000) + "\"]";
  EXPECT_NE(run(text).shown().find("makes too much data"), std::string::npos);
  EXPECT_NE(run("[1,2,3]", UnknownName::kError, Budget(2)).shown().find("takes too many steps"), std::string::npos);
}

TEST(Values, NestingIsBounded) {
  Value value = Value::empty_sequence(Kind::kTuple);
  uint32_t depth = 1;
  for (;; ++depth) {
    auto outer = Value::make_sequence(Kind::kTuple, {value});
    if (!outer.ok()) {
      EXPECT_EQ(outer.error().code(), Code::kExhausted);
      break;
    }
    value = *outer;
  }
  EXPECT_EQ(depth, Value::kMaxDepth);
  // Doubling: the weight counts what the value would be when written out.
  value = Value("0123456789");
  bool refused = false;
  for (int i = 0; i < 100 && !refused; ++i) {
    auto twice = Value::make_sequence(Kind::kTuple, {value, value});
    refused = !twice.ok();
    if (!refused) value = *twice;
  }
  EXPECT_TRUE(refused);
}

std::optional<Type> read_type(const std::string& text, Diagnostics& diagnostics) {
  Source source{"t.hcl", text};
  ExprPtr expr = parse_expression(source, diagnostics);
  if (!expr) return std::nullopt;
  FunctionTable functions;
  Budget budget;
  Evaluation evaluation{source, nullptr, functions, budget, diagnostics};
  return evaluate_type(*expr, evaluation);
}

TEST(Types, ConvertValues) {
  struct Case {
    const char *type, *value, *expected;
  };
  const Case cases[] = {
      {"string", "5", "'5'"},
      {"string", "true", "'true'"},
      {"number", "\"5.5\"", "5.5"},
      {"number", "\"x\"", "error: a number is required"},
      {"number", "true", "error: a number is required"},
      {"bool", "\"true\"", "true"},
      {"bool", "\"1\"", "true"},
      {"bool", "\"yes\"", "error: a bool is required"},
      {"bool", "1", "error: a bool is required"},
      {"list(string)", "[1, \"a\"]", "['1' 'a']"},
      {"list(number)", "[1, \"a\"]", "error: item 1: a number is required"},
      {"set(number)", "[2, 1, \"2\"]", "{|1 2|}"},
      {"map(string)", "{a=1}", "<a='1'>"},
      {"map(number)", "[1]", "error: a map is required, but found tuple"},
      {"list(any)", "[1, \"a\"]", "['1' 'a']"},
      {"list(any)", "[1, true]", "error: all items must have the same type"},
      {"tuple([string, number])", "[1, \"2\"]", "('1' 2)"},
      {"tuple([string])", "[1, 2]", "error: a tuple of 1 items is required"},
      {"object({a=string})", "{a=1, b=2}", "{a='1'}"},
      {"object({a=string, b=number})", "{a=1}", "error: missing from the object: \"b\""},
      {"object({a=string, b=optional(number)})", "{a=1}", "{a='1' b=null}"},
      {"object({a=string, b=optional(number, 7)})", "{a=1}", "{a='1' b=7}"},
      {"map(object({p=number}))", "{x={p=\"q\"}}", "error: item \"x\": attribute \"p\": a number is required"},
      {"any", "[1]", "(1)"},
      {"string", "null", "null"},
  };
  for (const Case& c : cases) {
    Diagnostics diagnostics;
    auto type = read_type(c.type, diagnostics);
    ASSERT_TRUE(type) << c.type << diagnostics.text();
    auto converted = convert(*run(c.value).value, *type);
    std::string shown = converted.ok() ? show(*converted) : "error: " + converted.error().message();
    EXPECT_TRUE(shown.starts_with(c.expected)) << c.type << " of " << c.value << ": " << shown;
  }
}

TEST(Types, BadOnesAreErrors) {
  for (const char* text : {"list", "strin", "list(string, number)", "object(string)", "tuple(string)", "5",
                           "optional(string)", "object({a=b})"}) {
    Diagnostics diagnostics;
    EXPECT_FALSE(read_type(text, diagnostics)) << text;
    EXPECT_TRUE(diagnostics.has_errors()) << text;
  }
  Diagnostics diagnostics;
  EXPECT_EQ(read_type("object({a=list(map(bool)), b=optional(tuple([any, set(number)]))})", diagnostics)->text(),
            "object({a=list(map(bool)), b=optional(tuple([any, set(number)]))})");
}

TEST(References, AreFound) {
  Source source{"t.hcl", "[for x in local.a: \"${x.y}${var.b}\" if f(local[\"c\"]) ][local.i] "};
  Diagnostics diagnostics;
  ExprPtr expr = parse_expression(source, diagnostics);
  ASSERT_TRUE(expr) << diagnostics.text();
  std::string shown;
  for (const Reference& reference : references_of(*expr)) shown += reference.root + "." + reference.attribute + " ";
  EXPECT_EQ(shown, "local.a var.b local.c local.i ");
}

TEST(Identifiers, AreRecognised) {
  EXPECT_TRUE(is_identifier("a-b_1"));
  EXPECT_TRUE(is_identifier("größe"));
  EXPECT_FALSE(is_identifier("1a"));
  EXPECT_FALSE(is_identifier("a b"));
  EXPECT_FALSE(is_identifier(""));
  EXPECT_FALSE(is_identifier("a\xE2\x80\x9C"));
}

TEST(Templates, BareOnes) {
  Source source{"t", "a\n  ${1 + 1} \"q\" \\n\n"};
  Diagnostics diagnostics;
  ExprPtr expr = parse_template(source, diagnostics);
  ASSERT_TRUE(expr) << diagnostics.text();
  FunctionTable functions;
  Budget budget;
  Evaluation evaluation{source, nullptr, functions, budget, diagnostics};
  EXPECT_EQ(show(*evaluate(*expr, evaluation)), "'a\n  2 \"q\" \\n\n'");
}

}  // namespace
}  // namespace steppe::hcl
