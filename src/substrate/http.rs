//! Routes that describe themselves: whoever adds a route says in the same breath who may use it, what it
//! takes and answers, so the OpenAPI document and the router cannot name different paths. Schemas are those of
//! the wire types; problems are documents of RFC 9457.

mod doc;

use std::collections::BTreeMap;

use axum::Router;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use serde_json::{Value, json};
use utoipa::openapi::path::{HttpMethod, OperationBuilder, PathsBuilder};
use utoipa::openapi::{Components, InfoBuilder, License, OpenApiBuilder, PathItem};

use crate::contracts::code::Code;
use crate::contracts::permission::Corridor;
use crate::contracts::problem::{CONTENT_TYPE, Problem};

pub use doc::Doc;

const COMPONENTS: &str = "/components/schemas";

/// A problem document as a response.
pub fn problem(status: u16, code: Code, detail: impl Into<String>) -> Response {
    let body = serde_json::to_vec(&Problem::new(status, code, detail));
    let body = body.expect("a problem is plain JSON");
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
}

/// Routes with what they mean.
pub struct Api<S> {
    router: Router<S>,
    document: Document,
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever reaches the port.
    Open,
    /// Who the corridor admits.
    Through(Corridor),
}

/// Who may use which route, by method and path as it is declared.
#[derive(Debug, Clone, Default)]
pub struct Accesses(BTreeMap<(Method, &'static str), Access>);

impl Accesses {
    /// `None` for a method that the path does not take.
    #[must_use]
    pub fn of(&self, method: &Method, path: &str) -> Option<Access> {
        // A HEAD is a GET that shows less.
        let method = if *method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let found = self.0.iter().find(|((m, p), _)| m == method && *p == path);
        found.map(|(_, access)| *access)
    }
}

/// What routes mean, without them.
#[derive(Default)]
pub struct Document {
    accesses: Accesses,
    operations: Vec<(&'static str, HttpMethod, OperationBuilder)>,
    schemas: BTreeMap<String, Value>,
}

impl<S: Clone + Send + Sync + 'static> Api<S> {
    #[must_use]
    pub fn new() -> Api<S> {
        Api {
            router: Router::new(),
            document: Document::default(),
        }
    }

    #[must_use]
    pub fn get(self, path: &'static str, handler: MethodRouter<S>, doc: Doc) -> Api<S> {
        self.route(HttpMethod::Get, path, handler, doc)
    }

    #[must_use]
    pub fn post(self, path: &'static str, handler: MethodRouter<S>, doc: Doc) -> Api<S> {
        self.route(HttpMethod::Post, path, handler, doc)
    }

    fn route(
        mut self,
        method: HttpMethod,
        path: &'static str,
        handler: MethodRouter<S>,
        doc: Doc,
    ) -> Api<S> {
        self.router = self.router.route(path, handler);
        self.document.add(path, method, doc);
        self
    }

    /// Both, on the same state.
    #[must_use]
    pub fn merge(self, other: Api<S>) -> Api<S> {
        Api {
            router: self.router.merge(other.router),
            document: self.document.and(other.document),
        }
    }

    /// The routes on what they stand on.
    pub fn with_state(self, state: S) -> Router {
        self.router.with_state(state)
    }

    #[must_use]
    pub fn document(self) -> Document {
        self.document
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Api<S> {
    fn default() -> Api<S> {
        Api::new()
    }
}

impl Document {
    fn add(&mut self, path: &'static str, method: HttpMethod, mut doc: Doc) {
        let access = doc
            .access
            .expect("a route says who may use it: Doc::open or Doc::through");
        if let Access::Through(corridor) = access {
            doc = doc.guarded(corridor, matches!(method, HttpMethod::Get));
        }
        let asked = match method {
            HttpMethod::Post => Method::POST,
            _ => Method::GET,
        };
        self.accesses.0.insert((asked, path), access);
        let definitions = doc.generator.take_definitions(true);
        self.take_schemas(definitions);
        let id = operation_id(path, &method);
        self.operations
            .push((path, method, doc.operation.operation_id(Some(id))));
    }

    fn take_schemas(&mut self, schemas: impl IntoIterator<Item = (String, Value)>) {
        for (name, schema) in schemas {
            let known = self.schemas.insert(name.clone(), schema.clone());
            assert!(
                known.is_none_or(|known| known == schema),
                "two wire types are named {name}"
            );
        }
    }

    /// Who may use these routes.
    #[must_use]
    pub fn accesses(&self) -> Accesses {
        self.accesses.clone()
    }

    /// Both.
    #[must_use]
    pub fn and(mut self, other: Document) -> Document {
        self.accesses.0.extend(other.accesses.0);
        self.operations.extend(other.operations);
        self.take_schemas(other.schemas);
        self
    }

    /// The OpenAPI document.
    ///
    /// # Panics
    /// Never: what it is made of is plain JSON.
    #[must_use]
    pub fn openapi(self, title: &str, version: &str, description: &str) -> Value {
        let mut paths = PathsBuilder::new();
        for (path, method, operation) in self.operations {
            paths = paths.path(path, PathItem::new(method, operation));
        }
        let info = InfoBuilder::new()
            .title(title)
            .version(version)
            .description(Some(description))
            .license(Some(License::new("Apache-2.0")));
        let openapi = OpenApiBuilder::new()
            .info(info)
            .paths(paths)
            .components(Some(Components::new()))
            .build();
        let mut openapi = serde_json::to_value(openapi).expect("the document is plain JSON");
        // As schemars wrote them: the builder's own types know only part of JSON Schema.
        openapi["components"]["schemas"] = json!(self.schemas);
        openapi["components"]["securitySchemes"] = json!({
            "owner_token": {"type": "http", "scheme": "bearer",
                "description": "The text of `run/owner.token` in the data directory."},
            "bearer": {"type": "http", "scheme": "bearer",
                "description": "A key where auth.mode is api_key, a signed token where it is service_token."},
            "basic": {"type": "http", "scheme": "basic",
                "description": "A key as the password, for a browser: auth.mode api_key, and only where nothing is changed."},
            "certificate": {"type": "mutualTLS",
                "description": "A client certificate where auth.mode is mtls."}
        });
        openapi
    }
}

/// `get_v1_runs_run_progress`.
fn operation_id(path: &str, method: &HttpMethod) -> String {
    let method = match method {
        HttpMethod::Post => "post",
        _ => "get",
    };
    let words = path.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    let words = words.filter(|it| !it.is_empty());
    std::iter::once(method)
        .chain(words)
        .collect::<Vec<_>>()
        .join("_")
}
