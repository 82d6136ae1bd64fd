#pragma once

#include "init/hcl/ast.h"
#include "init/hcl/token_stream.h"

namespace steppe::hcl {

// Recursive descent over a TokenStream. Every function returns null after it has reported an error; the caller then
// gives up its own node too and leaves recovery to the body parser.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& stream) : stream_(stream) {}

  ExprPtr parse();
  // A quoted template or a heredoc, whose opening mark is the next token.
  ExprPtr parse_quoted();
  ExprPtr parse_heredoc();
  ExprPtr parse_bare_template();
  // A quoted string without holes, as in a block's label.
  std::optional<Label> parse_plain_string();

  // True once nesting went past its limit: the rest of the text is not worth reading.
  bool gave_up() const { return gave_up_; }
  // One level of nesting that the caller opens (a block). False, with an error, past the limit.
  bool enter(Range where);
  void leave() { --nesting_; }

 private:
  // Counts nesting for as long as a recursive function runs.
  class Level {
   public:
    explicit Level(ExpressionParser& parser) : parser_(parser), ok_(parser.enter(parser.stream_.peek().range)) {}
    ~Level() {
      if (ok_) parser_.leave();
    }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    bool ok() const { return ok_; }

   private:
    ExpressionParser& parser_;
    bool ok_;
  };
  // "for k, v in source", shared by brackets and templates.
  struct ForIntro {
    std::string key_name, value_name;
    ExprPtr source;
  };
  struct TemplateToken;

  ExprPtr make(Range range, decltype(Expr::node) node, std::initializer_list<const Expr*> children = {});
  ExprPtr finish(Range range, decltype(Expr::node) node, uint32_t deepest_child);
  bool expect(TokenKind kind, std::string_view summary, std::string_view detail);

  ExprPtr parse_binary(int min_precedence);
  ExprPtr parse_unary();
  ExprPtr parse_primary();
  ExprPtr parse_name();
  ExprPtr parse_call();
  ExprPtr parse_parenthesised();
  ExprPtr parse_tuple();
  ExprPtr parse_object();
  bool parse_object_item(ObjectExpr& object, uint32_t& deepest);
  ExprPtr parse_object_key();
  bool at_for();
  bool parse_for_intro(ForIntro& intro);
  ExprPtr parse_for(bool object);

  ExprPtr parse_steps(ExprPtr base, bool plain_name);
  bool parse_dot_steps(std::vector<Step>& steps);
  ExprPtr parse_attribute_splat(ExprPtr base);
  ExprPtr parse_index(ExprPtr base, bool plain_name, bool& splatted);
  ExprPtr append_step(ExprPtr base, bool plain_name, Step step);

  enum class Escapes : uint8_t { kTemplateOnly, kAll };  // kAll: with backslashes, as in quotes
  bool read_parts(TokenKind end, Escapes escapes, std::vector<TemplateToken>& parts);
  bool read_sequence(std::vector<TemplateToken>& parts, bool& trim_next);
  bool read_directive(TemplateToken& part);
  bool decode_text(const Token& token, Escapes escapes, std::string& out);
  static void flush_indent(std::vector<TemplateToken>& parts);
  ExprPtr build_parts(std::vector<TemplateToken>& parts, size_t& at, Range range);
  ExprPtr build_if(std::vector<TemplateToken>& parts, size_t& at);
  ExprPtr build_for(std::vector<TemplateToken>& parts, size_t& at);
  ExprPtr build_template(std::vector<TemplateToken> parts, Range range);

  TokenStream& stream_;
  uint32_t nesting_ = 0;
  bool gave_up_ = false;
};

}  // namespace steppe::hcl
