//! What is said of the HTTP+SSE transport of 2024-11-05.

use serde_json::json;

use crate::support::{assert_told, edited, full, load_value};

#[test]
fn http_sse_compiles_to_what_is_said() {
    let compiled = |http_sse| {
        let document = edited(full(), "/servers/0/http_sse", Some(http_sse));
        load_value(&document).unwrap().enforcement.servers.swap_remove(0).http_sse.unwrap()
    };
    let plain = compiled(json!({ "messages_path": "/messages/" }));
    assert_eq!(
        [&plain.endpoint.path, &plain.endpoint.announced_path, &plain.endpoint.origin],
        ["/messages/", "/messages/", "https://mcp.example.com"]
    );
    assert_eq!(plain.dpop.url, "https://mcp.example.com/messages/");
    let rewritten = compiled(json!({ "messages_path": "/docs/m", "announced_path": "/m" }));
    assert_eq!([rewritten.endpoint.path, rewritten.endpoint.announced_path], ["/docs/m", "/m"]);
    assert!(load_value(&full()).unwrap().enforcement.servers[0].http_sse.is_none());
}

#[test]
fn what_is_wrong_with_http_sse_is_told() {
    let of = |messages: &str| Some(json!({ "messages_path": messages }));
    let ambiguous = "is compared byte for byte: no query, no `*`, no percent-encoding";
    let announced = format!("servers[0].http_sse.announced_path: {ambiguous}");
    let at = |problem: &str| format!("servers[0].http_sse.messages_path: {problem}");
    let relative = at("must start with `/`");
    let query = at(ambiguous);
    let metadata = at("is where metadata documents are served, without authentication");
    let own = at("mcp.internal:8443/v1/mcp/ is also a path of servers[0]");
    assert_told(&[
        (
            "/servers/0/http_sse",
            Some(json!({})),
            &["servers[0].http_sse: missing member `messages_path`"],
        ),
        ("/servers/0/http_sse", of("messages"), &[&relative]),
        ("/servers/0/http_sse", of("https://mcp.example.com/messages"), &[&relative]),
        ("/servers/0/http_sse", of("/messages?a"), &[&query]),
        ("/servers/0/http_sse", of("/.well-known/oauth-protected-resource/mcp"), &[&metadata]),
        ("/servers/0/http_sse", of("/v1/mcp/"), &[&own]),
        (
            "/servers/0/http_sse",
            Some(json!({ "messages_path": "/messages", "announced_path": "/m%65" })),
            &[&announced],
        ),
    ]);
}

#[test]
fn a_path_is_of_one_server() {
    let mut document = full();
    document["servers"][0]["http_sse"] = json!({ "messages_path": "/messages" });
    document["servers"][1]["match"] =
        json!({ "authority": ["mcp.internal:8443"], "path": "/messages" });
    let told = load_value(&document).unwrap_err();
    assert_eq!(told, "servers[1]: requests for mcp.internal:8443/messages are also for servers[0]");
    document["servers"][1]["match"]["path"] = json!("/other");
    document["servers"][1]["http_sse"] = json!({ "messages_path": "/messages" });
    let told = load_value(&document).unwrap_err();
    assert_eq!(
        told.lines().next(),
        Some(
            "servers[1].http_sse.messages_path: mcp.internal:8443/messages is also a path of servers[0]"
        )
    );
}
