//! The recording MCP server on the official Rust SDK: see `../../README.md`. It takes any object by
//! any name: what ran is what the SDK's types made of the parameters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::http::request::Parts;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use rmcp::model::*;
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::Serialize;
use serde_json::{Value, json};

/// What ran, by the case it ran for.
type Ran = Arc<Mutex<HashMap<String, Vec<Value>>>>;
type Request = RequestContext<RoleServer>;
type Notification = NotificationContext<RoleServer>;

/// Does whatever it is asked for, and writes it down.
#[derive(Clone)]
struct Recorder {
    ran: Ran,
}

impl Recorder {
    fn ran(&self, extensions: &Extensions, method: &str, params: impl Serialize) {
        let case = extensions
            .get::<Parts>()
            .and_then(|parts| parts.headers.get("x-case")?.to_str().ok())
            .unwrap_or("unattributed");
        let entry = json!({ "method": method, "params": params });
        self.ran.lock().unwrap().entry(case.to_owned()).or_default().push(entry);
    }
}

#[expect(deprecated, reason = "the legacy era has these")]
impl ServerHandler for Recorder {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_completions()
            .enable_logging()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities)
    }

    async fn initialize(
        &self,
        params: InitializeRequestParams,
        context: Request,
    ) -> Result<InitializeResult, ErrorData> {
        self.ran(&context.extensions, "initialize", ());
        context.peer.set_peer_info(params.clone());
        self.negotiate_initialize(&params)
    }

    async fn discover(&self, context: Request) -> Result<DiscoverResult, ErrorData> {
        self.ran(&context.extensions, "server/discover", ());
        let versions = self.supported_protocol_versions().into_owned();
        Ok(DiscoverResult::from_server_info(versions, self.get_info()))
    }

    async fn ping(&self, context: Request) -> Result<(), ErrorData> {
        self.ran(&context.extensions, "ping", ());
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        wanted: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(wanted.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let extensions = &context.request_context().extensions;
        self.ran(
            extensions,
            "subscriptions/listen",
            json!({ "notifications": context.requested() }),
        );
        context.cancelled().await;
        Ok(())
    }

    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        context: Request,
    ) -> Result<CallToolResponse, ErrorData> {
        self.ran(&context.extensions, "tools/call", params);
        Ok(CallToolResult::success(Vec::new()).into())
    }

    async fn get_prompt(
        &self,
        params: GetPromptRequestParams,
        context: Request,
    ) -> Result<GetPromptResponse, ErrorData> {
        self.ran(&context.extensions, "prompts/get", params);
        Ok(GetPromptResult::new(Vec::new()).into())
    }

    async fn read_resource(
        &self,
        params: ReadResourceRequestParams,
        context: Request,
    ) -> Result<ReadResourceResponse, ErrorData> {
        self.ran(&context.extensions, "resources/read", params);
        Ok(ReadResourceResult::new(Vec::new()).into())
    }

    async fn list_tools(
        &self,
        params: Option<PaginatedRequestParams>,
        context: Request,
    ) -> Result<ListToolsResult, ErrorData> {
        self.ran(&context.extensions, "tools/list", params);
        Ok(ListToolsResult::default())
    }

    async fn list_prompts(
        &self,
        params: Option<PaginatedRequestParams>,
        context: Request,
    ) -> Result<ListPromptsResult, ErrorData> {
        self.ran(&context.extensions, "prompts/list", params);
        Ok(ListPromptsResult::default())
    }

    async fn list_resources(
        &self,
        params: Option<PaginatedRequestParams>,
        context: Request,
    ) -> Result<ListResourcesResult, ErrorData> {
        self.ran(&context.extensions, "resources/list", params);
        Ok(ListResourcesResult::default())
    }

    async fn list_resource_templates(
        &self,
        params: Option<PaginatedRequestParams>,
        context: Request,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        self.ran(&context.extensions, "resources/templates/list", params);
        Ok(ListResourceTemplatesResult::default())
    }

    async fn complete(
        &self,
        params: CompleteRequestParams,
        context: Request,
    ) -> Result<CompleteResult, ErrorData> {
        self.ran(&context.extensions, "completion/complete", params);
        Ok(CompleteResult::default())
    }

    async fn set_level(
        &self,
        params: SetLevelRequestParams,
        context: Request,
    ) -> Result<(), ErrorData> {
        self.ran(&context.extensions, "logging/setLevel", params);
        Ok(())
    }

    async fn subscribe(
        &self,
        params: SubscribeRequestParams,
        context: Request,
    ) -> Result<(), ErrorData> {
        self.ran(&context.extensions, "resources/subscribe", params);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        params: UnsubscribeRequestParams,
        context: Request,
    ) -> Result<(), ErrorData> {
        self.ran(&context.extensions, "resources/unsubscribe", params);
        Ok(())
    }

    async fn get_task(
        &self,
        params: GetTaskParams,
        context: Request,
    ) -> Result<GetTaskResult, ErrorData> {
        self.ran(&context.extensions, "tasks/get", params);
        Err(ErrorData::invalid_params("no such task", None))
    }

    async fn update_task(
        &self,
        params: UpdateTaskParams,
        context: Request,
    ) -> Result<(), ErrorData> {
        self.ran(&context.extensions, "tasks/update", params);
        Ok(())
    }

    async fn cancel_task(
        &self,
        params: CancelTaskParams,
        context: Request,
    ) -> Result<(), ErrorData> {
        self.ran(&context.extensions, "tasks/cancel", params);
        Ok(())
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: Request,
    ) -> Result<CustomResult, ErrorData> {
        self.ran(&context.extensions, &request.method, request.params);
        Ok(CustomResult::new(json!({})))
    }

    async fn on_cancelled(&self, _: CancelledNotificationParam, context: Notification) {
        self.ran(&context.extensions, "notifications/cancelled", ());
    }

    async fn on_progress(&self, _: ProgressNotificationParam, context: Notification) {
        self.ran(&context.extensions, "notifications/progress", ());
    }

    async fn on_initialized(&self, context: Notification) {
        self.ran(&context.extensions, "notifications/initialized", ());
    }

    async fn on_roots_list_changed(&self, context: Notification) {
        self.ran(&context.extensions, "notifications/roots/list_changed", ());
    }

    async fn on_custom_notification(
        &self,
        notification: CustomNotification,
        context: Notification,
    ) {
        self.ran(&context.extensions, &notification.method, ());
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let port = std::env::var("PORT").unwrap();
    let ran = Ran::default();
    let service = |session| {
        let recorder = Recorder { ran: Arc::clone(&ran) };
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(session)
            .with_json_response(!session);
        StreamableHttpService::new(
            move || Ok(recorder.clone()),
            Arc::new(LocalSessionManager::default()),
            config,
        )
    };
    let report = Arc::clone(&ran);
    let app = Router::new()
        .nest_service("/stateless", service(false))
        .nest_service("/session", service(true))
        .route("/ran", get(async move || Json(report.lock().unwrap().clone())));
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
    // An answer and the end of its stream are two writes: without this, Nagle's algorithm has
    // the second wait 40 ms for the client's acknowledgement.
    let listener = listener.tap_io(|connection| connection.set_nodelay(true).unwrap());
    axum::serve(listener, app).await.unwrap();
}
