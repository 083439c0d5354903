//! Routes that describe themselves: whoever adds a route says in the same breath who may use it, what it
//! takes and answers, so the OpenAPI document and the router cannot name different paths. Schemas are those of
//! the wire types; problems are documents of RFC 9457.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use axum::Router;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::RecursiveTransform;
use serde_json::{Value, json};
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathsBuilder,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, KnownFormat, License, OpenApiBuilder, PathItem, Ref,
    RefOr, Required, ResponseBuilder, Schema, SchemaFormat, schema::ObjectBuilder, schema::Type,
};

use crate::contracts::code::Code;
use crate::contracts::permission::Corridor;
use crate::contracts::problem::{CONTENT_TYPE, Problem};
use crate::contracts::schema::bound_integers;

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

/// What one route takes and answers.
pub struct Doc {
    operation: OperationBuilder,
    generator: SchemaGenerator,
    access: Option<Access>,
}

impl Doc {
    #[must_use]
    pub fn new(tag: &str, summary: &str) -> Doc {
        let generator = SchemaSettings::draft2020_12()
            .with(|settings| settings.definitions_path = COMPONENTS.into())
            .with_transform(RecursiveTransform(bound_integers))
            .into_generator();
        Doc {
            operation: OperationBuilder::new().tag(tag).summary(Some(summary)),
            generator,
            access: None,
        }
    }

    #[must_use]
    pub fn about(mut self, description: &str) -> Doc {
        self.operation = self.operation.description(Some(description));
        self
    }

    /// Whoever reaches the port may use it: it reveals nothing of payments.
    #[must_use]
    pub fn open(mut self) -> Doc {
        self.access = Some(Access::Open);
        self
    }

    /// Only who this corridor admits.
    #[must_use]
    pub fn through(mut self, corridor: Corridor) -> Doc {
        self.access = Some(Access::Through(corridor));
        self
    }

    /// What every guarded route says: how one proves who one is, and how it is refused.
    fn guarded(mut self, corridor: Corridor, is_safe: bool) -> Doc {
        let schemes: &[&str] = match corridor {
            Corridor::Commands => &["owner_token"],
            _ if is_safe => &["bearer", "basic", "certificate"],
            _ => &["bearer", "certificate"],
        };
        for scheme in schemes {
            let scopes: [&str; 0] = [];
            let scheme = utoipa::openapi::SecurityRequirement::new(*scheme, scopes);
            self.operation = self.operation.security(scheme);
        }
        let unknown = "the caller is not known (nothing: missing)";
        let not_allowed = format!("till:1 has no role for {corridor}");
        self.refuses(401, &[(Code::Unauthenticated, unknown)])
            .refuses(403, &[(Code::Forbidden, &not_allowed)])
    }

    /// A part of the path, with an example.
    #[must_use]
    pub fn part(self, name: &str, what: &str, example: &str) -> Doc {
        let text = ObjectBuilder::new().schema_type(Type::String);
        self.parameter(ParameterIn::Path, name, what, text, json!(example))
    }

    /// A parameter of the query: one of these words, the first as the example.
    #[must_use]
    pub fn word(self, name: &str, what: &str, words: &[&str]) -> Doc {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(words.iter().copied()));
        self.parameter(ParameterIn::Query, name, what, text, json!(words.first()))
    }

    /// A parameter of the query: some text.
    #[must_use]
    pub fn text(self, name: &str, what: &str, example: &str) -> Doc {
        let text = ObjectBuilder::new().schema_type(Type::String);
        self.parameter(ParameterIn::Query, name, what, text, json!(example))
    }

    /// A parameter of the query: a UTC day.
    #[must_use]
    pub fn day(self, name: &str, what: &str, example: &str) -> Doc {
        let day = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)));
        self.parameter(ParameterIn::Query, name, what, day, json!(example))
    }

    /// A parameter of the query: a whole number within bounds.
    #[must_use]
    pub fn number(self, name: &str, what: &str, bounds: RangeInclusive<u64>, example: u64) -> Doc {
        let number = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(*bounds.start()))
            .maximum(Some(*bounds.end()));
        self.parameter(ParameterIn::Query, name, what, number, json!(example))
    }

    fn parameter(
        mut self,
        parameter_in: ParameterIn,
        name: &str,
        what: &str,
        schema: ObjectBuilder,
        example: Value,
    ) -> Doc {
        let required = match parameter_in {
            ParameterIn::Path => Required::True,
            _ => Required::False,
        };
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(parameter_in)
            .required(required)
            .description(Some(what))
            .schema(Some(schema))
            .example(Some(example));
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// The body: one `T` as JSON.
    #[must_use]
    pub fn takes<T: JsonSchema>(mut self, what: &str, example: Value) -> Doc {
        let content = ContentBuilder::new()
            .schema(Some(self.refer::<T>()))
            .example(Some(example));
        let body = body(what).content("application/json", content.build());
        self.operation = self.operation.request_body(Some(body.build()));
        self
    }

    /// The body: one `T`, or an array of them.
    #[must_use]
    pub fn takes_either<T: JsonSchema>(mut self, what: &str, example: Value) -> Doc {
        let one = self.refer::<T>();
        let many = utoipa::openapi::ArrayBuilder::new().items(one.clone());
        let either = utoipa::openapi::OneOfBuilder::new().item(one).item(many);
        let json = ContentBuilder::new()
            .schema(Some(either))
            .example(Some(example));
        let body = body(what).content("application/json", json.build());
        self.operation = self.operation.request_body(Some(body.build()));
        self
    }

    /// The body: one `T`, an array of them, or one a line.
    #[must_use]
    pub fn takes_many<T: JsonSchema>(mut self, what: &str, example: Value) -> Doc {
        let one = self.refer::<T>();
        let many = utoipa::openapi::ArrayBuilder::new().items(one.clone());
        let either = utoipa::openapi::OneOfBuilder::new()
            .item(one.clone())
            .item(many);
        let json = ContentBuilder::new()
            .schema(Some(either))
            .example(Some(example));
        let lines = ContentBuilder::new().schema(Some(one));
        let body: RequestBody = body(what)
            .content("application/json", json.build())
            .content("application/x-ndjson", lines.build())
            .build();
        self.operation = self.operation.request_body(Some(body));
        self
    }

    /// An answer: a `T` as JSON.
    #[must_use]
    pub fn answers<T: JsonSchema>(mut self, status: u16, what: &str, example: Value) -> Doc {
        let content = ContentBuilder::new()
            .schema(Some(self.refer::<T>()))
            .example(Some(example));
        self.answer(status, what, "application/json", content)
    }

    /// An answer: one `T` a line.
    #[must_use]
    pub fn answers_lines<T: JsonSchema>(mut self, status: u16, what: &str) -> Doc {
        let content = ContentBuilder::new().schema(Some(self.refer::<T>()));
        self.answer(status, what, "application/x-ndjson", content)
    }

    /// An answer in plain text.
    #[must_use]
    pub fn answers_text(self, status: u16, what: &str, example: &str) -> Doc {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let content = ContentBuilder::new()
            .schema(Some(text))
            .example(Some(json!(example)));
        self.answer(status, what, "text/plain", content)
    }

    /// An answer: a page for a browser.
    #[must_use]
    pub fn answers_page(self, status: u16, what: &str) -> Doc {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let content = ContentBuilder::new().schema(Some(text));
        self.answer(status, what, "text/html", content)
    }

    /// An answer: a JSON object of another standard.
    #[must_use]
    pub fn answers_object(self, status: u16, what: &str) -> Doc {
        let object = ObjectBuilder::new().schema_type(Type::Object);
        let content = ContentBuilder::new().schema(Some(object));
        self.answer(status, what, "application/json", content)
    }

    /// An answer without a body.
    #[must_use]
    pub fn answers_nothing(mut self, status: u16, what: &str) -> Doc {
        let response = ResponseBuilder::new().description(what);
        self.operation = self.operation.response(status.to_string(), response);
        self
    }

    /// An answer: a problem document with one of these codes, each with an example.
    #[must_use]
    pub fn refuses(mut self, status: u16, problems: &[(Code, &str)]) -> Doc {
        let examples = problems.iter().map(|(code, detail)| {
            let problem = Problem::new(status, *code, *detail);
            let example = utoipa::openapi::example::ExampleBuilder::new()
                .value(serde_json::to_value(problem).ok());
            (code.to_string(), RefOr::T(example.build()))
        });
        let content = ContentBuilder::new()
            .schema(Some(self.refer::<Problem>()))
            .examples_from_iter(examples.collect::<Vec<_>>());
        let codes: Vec<&str> = problems.iter().map(|(code, _)| code.as_str()).collect();
        self.answer(status, &codes.join(", "), CONTENT_TYPE, content)
    }

    fn answer(
        mut self,
        status: u16,
        what: &str,
        content_type: &str,
        content: ContentBuilder,
    ) -> Doc {
        let response = ResponseBuilder::new()
            .description(what)
            .content(content_type, content.build());
        self.operation = self.operation.response(status.to_string(), response);
        self
    }

    /// A reference to the schema of `T` among the components.
    fn refer<T: JsonSchema>(&mut self) -> RefOr<Schema> {
        let schema = self.generator.subschema_for::<T>();
        let place = schema.get("$ref").and_then(Value::as_str);
        RefOr::Ref(Ref::new(place.expect("a wire type has a name")))
    }
}

fn body(what: &str) -> RequestBodyBuilder {
    RequestBodyBuilder::new()
        .description(Some(what))
        .required(Some(Required::True))
}
