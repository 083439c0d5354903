//! What one route takes and answers, in the words of OpenAPI.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::RecursiveTransform;
use serde_json::{Value, json};
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::{
    ContentBuilder, KnownFormat, Ref, RefOr, Required, ResponseBuilder, Schema, SchemaFormat,
    schema::ObjectBuilder, schema::Type,
};

use crate::contracts::code::Code;
use crate::contracts::permission::Corridor;
use crate::contracts::problem::{CONTENT_TYPE, Problem};
use crate::contracts::schema::bound_integers;
use crate::substrate::http::{Access, COMPONENTS};

/// What one route takes and answers.
pub struct Doc {
    pub(super) operation: OperationBuilder,
    pub(super) generator: SchemaGenerator,
    pub(super) access: Option<Access>,
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
    pub(super) fn guarded(mut self, corridor: Corridor, is_safe: bool) -> Doc {
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

    /// A parameter of the query that must be there: a text of this form, a regular expression.
    #[must_use]
    pub fn needs(self, name: &str, what: &str, form: &str, example: &str) -> Doc {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(form));
        self.put(
            ParameterIn::Query,
            Required::True,
            name,
            what,
            text,
            json!(example),
        )
    }

    /// A parameter of the query that must be there: one of these words.
    #[must_use]
    pub fn needs_word(self, name: &str, what: &str, words: &[&str]) -> Doc {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(words.iter().copied()));
        self.put(
            ParameterIn::Query,
            Required::True,
            name,
            what,
            text,
            json!(words.first()),
        )
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
        self,
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
        self.put(parameter_in, required, name, what, schema, example)
    }

    fn put(
        mut self,
        parameter_in: ParameterIn,
        required: Required,
        name: &str,
        what: &str,
        schema: ObjectBuilder,
        example: Value,
    ) -> Doc {
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
