#include "gateway/routes.h"

#include <gtest/gtest.h>

#include <set>

#include "base/file.h"

namespace deepmoat::gateway {
namespace {

std::string filled(std::string_view pattern, const std::string& value) {
  std::string path(pattern);
  const std::size_t hole = path.find("{}");
  return hole == std::string::npos ? path : path.replace(hole, 2, value);
}

TEST(Routes, EachIsReachedByItsMethodAndPath) {
  for (const Route& route : routes()) {
    for (const char* value : {"x", "key_0123", "a.b-c", "revok"}) {
      const RouteMatch match = match_route(route.method, filled(route.pattern, value));
      ASSERT_NE(match.route, nullptr) << route.pattern;
      EXPECT_EQ(match.route, &route) << route.pattern;
      const bool hole = route.pattern.find("{}") != std::string_view::npos;
      EXPECT_EQ(match.argument, hole ? value : "") << route.pattern;
      EXPECT_TRUE(match.path_known);
    }
  }
}

TEST(Routes, NoTwoAreTheSame) {
  std::set<std::string> seen;
  for (const Route& route : routes()) {
    EXPECT_TRUE(seen.insert(std::string(route.method) + " " + std::string(route.pattern)).second);
  }
}

TEST(Routes, OnlyHealthIsOpen) {
  std::set<std::string_view> open;
  for (const Route& route : routes()) {
    if (!route.permission) {
      open.insert(route.pattern);
    } else {
      EXPECT_FALSE(route.action.empty()) << route.pattern << ": what is permitted is audited";
    }
  }
  EXPECT_EQ(open, (std::set<std::string_view>{"/livez", "/readyz", "/health"}));
}

TEST(Routes, AdminNeedsMoreThanAUsersPermission) {
  for (const Route& route : routes()) {
    const bool admin = route.pattern.starts_with("/admin/");
    ASSERT_TRUE(!admin || route.permission) << route.pattern;
    EXPECT_EQ(admin && identity::allowed(identity::Role::user, *route.permission), false)
        << route.pattern;
  }
}

TEST(Routes, WhatChangesIsNoGet) {
  for (const Route& route : routes()) {
    if (route.handler == Handler::read_content) {  // its reason belongs in no address
      EXPECT_EQ(route.method, "POST");
      continue;
    }
    EXPECT_EQ(route.method == "GET", route.operation == audit::Operation::read) << route.pattern;
  }
}

TEST(Routes, WhatIsNotInTheTableIsUnknown) {
  for (const char* path : {"", "/", "/v1", "/v1/", "/v1/chat/completions/", "//v1/models",
                           "/V1/models", "/v1/models/", "/admin/v1/keys/", "/admin/v1/keys//revoke",
                           "/livez/", "/metric", "/v1/chat/completions "}) {
    for (const char* method : {"GET", "POST"}) {
      const RouteMatch match = match_route(method, path);
      if (std::string_view(path) == "/admin/v1/keys//revoke" && match.route != nullptr) {
        EXPECT_EQ(match.route->handler, Handler::show_key);  // of a key that nobody has
        continue;
      }
      EXPECT_EQ(match.route, nullptr) << method << " " << path;
    }
  }
}

TEST(Routes, AnotherMethodNamesTheRightOnes) {
  for (const char* method : {"PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get", ""}) {
    const RouteMatch match = match_route(method, "/admin/v1/keys");
    EXPECT_EQ(match.route, nullptr);
    EXPECT_TRUE(match.path_known);
    EXPECT_EQ(match.allowed_methods, "POST, GET");
  }
  EXPECT_EQ(match_route("GET", "/v1/chat/completions").allowed_methods, "POST");
  EXPECT_FALSE(match_route("PUT", "/nowhere").path_known);
}

TEST(Routes, OfTwoThatFitTheOneWithMoreFixedTextIsMeant) {
  const RouteMatch match = match_route("POST", "/admin/v1/keys/key_1/revoke");
  ASSERT_NE(match.route, nullptr);
  EXPECT_EQ(match.route->handler, Handler::revoke_key);
  EXPECT_EQ(match.argument, "key_1");
  EXPECT_EQ(match_route("GET", "/admin/v1/keys/revoke").argument, "revoke");
}

TEST(Routes, ModelNamesMayHoldSlashes) {
  const RouteMatch match = match_route("GET", "/v1/models/org/name:7b");
  ASSERT_NE(match.route, nullptr);
  EXPECT_EQ(match.argument, "org/name:7b");
}

TEST(Routes, PageInTheDocumentationHoldsTheTable) {
  for (const char* page : {"/docs/api.md", "/docs/api.zh-CN.md"}) {
    const auto text = read_file(std::string(DEEPMOAT_SOURCE_DIR) + page, 1'000'000);
    ASSERT_TRUE(text) << page;
    EXPECT_NE(text->find(routes_markdown()), std::string::npos) << page << " must hold:\n"
                                                                << routes_markdown();
  }
}

}  // namespace
}  // namespace deepmoat::gateway
