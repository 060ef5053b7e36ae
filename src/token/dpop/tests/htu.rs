//! RFC 9449 section 4.3, number 9: `htu`, after the normalisation of RFC 3986 section 6.2.

use crate::token::dpop::htu::names;

const URL: &str = "https://mcp.example.com/mcp";

#[test]
fn rfc9449_4_3_9_query_and_fragment_are_ignored() {
    for htu in [
        URL,
        "https://mcp.example.com/mcp?a=b",
        "https://mcp.example.com/mcp#f?x",
        "https://mcp.example.com/mcp?#",
    ] {
        assert!(names(htu, URL), "{htu}");
    }
    assert!(names(URL, "https://mcp.example.com/mcp?tenant=1"));
}

#[test]
fn rfc3986_6_2_2_1_case() {
    assert!(names("HTTPS://MCP.Example.COM/mcp", URL));
    assert!(names("https://mcp.example.com/a%2fb", "https://mcp.example.com/a%2Fb"));
    assert!(names("eXAMPLE://a/./b/../b/%63/%7bfoo%7d", "example://a/b/c/%7Bfoo%7D"));
    assert!(!names("https://mcp.example.com/MCP", URL), "the path has its case");
}

#[test]
fn rfc3986_6_2_2_2_percent_encoded_unreserved_characters() {
    assert!(names("https://mcp.example.com/%6d%63%70", URL));
    assert!(names("https://mcp.example.com/%7Euser/%41-._", "https://mcp.example.com/~user/A-._"));
    assert!(names("https://%6Dcp.example.com/mcp", URL));
}

#[test]
fn rfc3986_2_2_percent_encoded_reserved_characters_stay_distinct() {
    for (htu, url) in [
        ("https://h/a%2Fb", "https://h/a/b"),
        ("https://h/a%3Fb", "https://h/a?b"),
        ("https://h/a%3Bb", "https://h/a;b"),
        ("https://h/a%40b", "https://h/a@b"),
        ("https://h/a%00", "https://h/a"),
        ("https://h/%2E%2E%2Fmcp", "https://h/mcp"),
        ("https://h/a%252Fb", "https://h/a%2Fb"),
    ] {
        assert!(!names(htu, url), "{htu}");
    }
}

/// The path of section 5.2.4, and those absolute ones of section 5.4 that show underflow.
#[test]
fn rfc3986_6_2_2_3_dot_segments() {
    for (htu, url) in [
        ("http://h/a/b/c/./../../g", "http://h/a/g"),
        ("http://h/./g", "http://h/g"),
        ("http://h/../g", "http://h/g"),
        ("http://h/b/c/..", "http://h/b/"),
        ("http://h/b/c/.", "http://h/b/c/"),
        ("http://h/b/%2e%2E/g", "http://h/g"),
        ("http://h/.", "http://h"),
    ] {
        assert!(names(htu, url), "{htu}");
    }
    for (htu, url) in [
        ("http://h/g.", "http://h/g"),
        ("http://h/..g", "http://h/g"),
        ("http://h/g;x=1/../y", "http://h/g;x=1/y"),
        ("http://h/a/../b", "http://h/a"),
        ("http://h/a//b", "http://h/a/b"),
    ] {
        assert!(!names(htu, url), "{htu}");
    }
}

#[test]
fn rfc3986_6_2_3_port_and_empty_path() {
    assert!(names("https://mcp.example.com:443/mcp", URL));
    assert!(names("https://mcp.example.com:/mcp", URL));
    assert!(names("http://h:80", "http://h/"));
    assert!(names("https://h", "https://h/"));
    assert!(names("https://h?q", "https://h/"));
    for htu in [
        "https://mcp.example.com:80/mcp",
        "https://mcp.example.com:8443/mcp",
        "http://mcp.example.com/mcp",
        "http://mcp.example.com:443/mcp",
        "https://mcp.example.com/mcp/",
        "https://mcp.example.com./mcp",
    ] {
        assert!(!names(htu, URL), "{htu}");
    }
}

#[test]
fn ipv6_literals_have_one_form() {
    assert!(names("https://[2001:DB8:0:0:0:0:0:1]:443/", "https://[2001:db8::1]"));
    assert!(!names("https://[2001:db8::1]/", "https://[2001:db8::2]/"));
    assert!(!names("https://[::ffff:127.0.0.1]/", "https://127.0.0.1/"));
}

#[test]
fn what_is_no_url_with_an_authority_names_nothing() {
    for htu in [
        "",
        "/mcp",
        "//mcp.example.com/mcp",
        "mcp.example.com/mcp",
        "https:/mcp",
        "https:///mcp",
        "https:mcp.example.com/mcp",
        "https://mcp.example.com/m cp",
        " https://mcp.example.com/mcp",
        "https://mcp.example.com/mcp\n",
        "https://mcp.example.com\\mcp",
        "https://mcp.example.com/m%6",
        "https://mcp.example.com/%zz",
        "https://[2001:db8::1/mcp",
        "https://mcp.example.com:port/mcp",
        "https://\u{ff4d}cp.example.com/mcp",
    ] {
        assert!(!names(htu, URL), "{htu}");
    }
}

#[test]
fn user_information_is_refused() {
    for htu in [
        "https://mcp.example.com@evil.example/mcp",
        "https://user@mcp.example.com/mcp",
        "https://@mcp.example.com/mcp",
    ] {
        assert!(!names(htu, URL), "{htu}");
    }
}

#[test]
fn htu_is_bounded() {
    let of = |length: usize| format!("HTTPS://h/{}", "a".repeat(length - 10));
    assert!(names(&of(2048), &of(2048).to_lowercase()));
    assert!(!names(&of(2049), &of(2049)));
}
