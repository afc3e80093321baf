//! Expressions that decide (PRO-42), in the Common Expression Language.
//!
//! What an evaluation costs is bounded: expressions are small, loops in loops are two deep at most, and one whose loops
//! would go over too much is not evaluated. Functions and variables that are not there are found when it is compiled.

use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::objects::Value;
use cel::{Context, Env, ExecutionError, Program};
use tourbillon_types::{Payload, Tags};

/// The longest expression, in bytes.
const MAX_LENGTH: usize = 2_048;
/// How deep brackets may be in each other, and how deep the parts of an expression: reading and evaluating it takes stack.
const MAX_DEPTH: u32 = 24;
/// What the parser needs for the deepest expressions, in bytes, and much more.
const PARSER_STACK: usize = 64 << 20;
/// How deep loops may be in each other.
const MAX_LOOPS: u32 = 2;
/// How many steps of loops an evaluation may take.
const MAX_STEPS: usize = 100_000;

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

const VARIABLES: [&str; 6] = ["subscribed", "user", "meta", "channel", "vars", "labels"];
const TYPES: [&str; 10] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];
const FUNCTIONS: [&str; 13] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
];

/// An expression, compiled.
#[derive(Clone)]
pub struct Expression {
    source: Box<str>,
    program: Arc<Program>,
    /// How many parts it has.
    parts: usize,
    /// How deep its loops are.
    loops: u32,
    /// Whether it looks at these at all.
    meta: bool,
    vars: bool,
    labels: bool,
}

/// A text is no expression that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExpressionError(String);

/// What an expression may look at.
pub(crate) struct Facts<'a, V> {
    pub(crate) subscribed: bool,
    pub(crate) user: &'a str,
    pub(crate) channel: &'a str,
    pub(crate) meta: Option<&'a Payload>,
    pub(crate) labels: Option<&'a Tags>,
    /// What the variables of the channel's pattern stand for.
    pub(crate) vars: V,
}

/// What is found in an expression while it is checked.
#[derive(Default)]
struct Survey<'a> {
    /// Variables that loops bring.
    bound: Vec<&'a str>,
    parts: usize,
    loops: u32,
    /// How deep the part is that is being looked at.
    depth: u32,
    used: [bool; VARIABLES.len()],
}

impl<'a> Survey<'a> {
    fn visit(&mut self, expression: &'a IdedExpr, loops: u32) -> Result<(), String> {
        self.parts += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("parts are more than {MAX_DEPTH} deep in each other"));
        }
        let visited = self.visit_parts(expression, loops);
        self.depth -= 1;
        visited
    }

    fn visit_parts(&mut self, expression: &'a IdedExpr, depth: u32) -> Result<(), String> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.visit(&select.operand, depth),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.visit(element, depth)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, depth)?;
                    self.visit(&entry.value, depth)
                }
                EntryExpr::StructField(_) => Ok(()),
            }),
            Expr::Struct(of) => Err(format!("unknown type {}", of.type_name)),
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                let is_operator = name.contains('_') || name.starts_with('@');
                if !is_operator && !FUNCTIONS.contains(&name) {
                    return Err(format!("unknown function {name}"));
                }
                // An expression that is compiled for each evaluation must not come from a client.
                let is_literal = |one: &IdedExpr| matches!(one.expr, Expr::Literal(LiteralValue::String(_)));
                if name == "matches" && !call.args.last().is_some_and(is_literal) {
                    return Err("the pattern of matches must be a literal".to_owned());
                }
                call.target.iter().try_for_each(|target| self.visit(target, depth))?;
                call.args.iter().try_for_each(|argument| self.visit(argument, depth))
            }
            Expr::Comprehension(of) => {
                let depth = depth + 1;
                self.loops = self.loops.max(depth);
                if depth > MAX_LOOPS {
                    return Err(format!("loops are more than {MAX_LOOPS} deep in each other"));
                }
                self.visit(&of.iter_range, depth)?;
                let before = self.bound.len();
                self.bound.extend([of.iter_var.as_str(), of.accu_var.as_str()]);
                self.bound.extend(of.iter_var2.as_deref());
                for part in [&of.accu_init, &of.loop_cond, &of.loop_step, &of.result] {
                    self.visit(part, depth)?;
                }
                self.bound.truncate(before);
                Ok(())
            }
        }
    }

    fn name(&mut self, name: &str) -> Result<(), String> {
        if self.bound.contains(&name) || TYPES.contains(&name) {
            return Ok(());
        }
        let Some(at) = VARIABLES.iter().position(|variable| *variable == name) else {
            return Err(format!("unknown variable {name}: there are {}", VARIABLES.join(", ")));
        };
        self.used.iter_mut().skip(at).take(1).for_each(|used| *used = true);
        Ok(())
    }
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn new(source: &str) -> Result<Self, ExpressionError> {
        let wrong = |problem: String| ExpressionError(format!("invalid expression: {problem}"));
        if source.len() > MAX_LENGTH {
            return Err(wrong(format!("longer than {MAX_LENGTH} bytes")));
        }
        if nesting(source) > MAX_DEPTH {
            return Err(wrong(format!("brackets are more than {MAX_DEPTH} deep in each other")));
        }
        let program = compile(source).map_err(wrong)?;
        let mut survey = Survey::default();
        survey.visit(program.expression(), 0).map_err(wrong)?;
        let Survey { parts, loops, used: [_, _, meta, _, vars, labels], .. } = survey;
        Ok(Self { source: source.into(), program: Arc::new(program), parts, loops, meta, vars, labels })
    }

    /// Whether it is true of these facts.
    ///
    /// # Errors
    ///
    /// Why it cannot be said, without anything of the facts.
    pub(crate) fn holds<'a, V>(&self, facts: Facts<'a, V>) -> Result<bool, String>
    where
        V: Iterator<Item = (&'a str, &'a str)>,
    {
        let mut context = Context::with_env(ENVIRONMENT.clone());
        context.add_variable_from_value("subscribed", facts.subscribed);
        context.add_variable_from_value("user", facts.user);
        context.add_variable_from_value("channel", facts.channel);
        let mut size = self.parts;
        if self.meta {
            let meta = facts.meta.map(|meta| serde_json::from_slice(meta.bytes()));
            let meta = match meta {
                Some(Ok(meta @ serde_json::Value::Object(_))) => meta,
                _ => serde_json::Value::Object(serde_json::Map::new()),
            };
            size = size.saturating_add(count(&meta));
            context.add_variable_from_value("meta", value(&meta));
        }
        if self.labels {
            let labels = facts.labels.into_iter().flatten();
            let labels: Vec<_> = labels.map(|(key, label)| (key.as_str(), label.as_str())).collect();
            size = size.saturating_add(labels.len());
            context.add_variable_from_value("labels", map(labels.into_iter()));
        }
        if self.vars {
            context.add_variable_from_value("vars", map(facts.vars));
        }
        if self.loops > 0 && size.saturating_pow(self.loops).saturating_mul(self.parts) > MAX_STEPS {
            return Err("its loops would go over too much".to_owned());
        }
        match self.program.execute(&context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err("its value is neither true nor false".to_owned()),
            Err(ExecutionError::NoSuchKey(key)) => Err(format!("there is no {key}")),
            Err(ExecutionError::NoSuchOverload(error)) => Err(error.to_string()),
            Err(_) => Err("it cannot be evaluated".to_owned()),
        }
    }
}

/// Reads an expression, on a thread of its own: the parser takes much stack, more than workers have.
fn compile(source: &str) -> Result<Program, String> {
    let source = source.to_owned();
    let thread = std::thread::Builder::new().name("expression".to_owned()).stack_size(PARSER_STACK);
    let compiled = thread.spawn(move || {
        ENVIRONMENT.compile(&source).map_err(|errors| {
            // The first line says where and what; the others draw it.
            let text = errors.to_string();
            text.lines().next().unwrap_or_default().trim_start_matches("ERROR: ").to_owned()
        })
    });
    let compiled = compiled.map_err(|error| error.to_string())?;
    compiled.join().unwrap_or_else(|_| Err("it cannot be read".to_owned()))
}

/// How deep brackets and signs before a value are in each other, at most: those in texts count, too.
fn nesting(source: &str) -> u32 {
    let (mut depth, mut signs, mut deepest) = (0_u32, 0_u32, 0_u32);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'?' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'!' | b'-' => signs += 1,
            b' ' => {}
            _ => signs = 0,
        }
        deepest = deepest.max(depth + signs);
    }
    deepest
}

/// How many values there are in a value.
fn count(json: &serde_json::Value) -> usize {
    match json {
        serde_json::Value::Array(list) => list.iter().map(count).sum::<usize>() + 1,
        serde_json::Value::Object(members) => members.values().map(count).sum::<usize>() + 1,
        _ => 1,
    }
}

fn value(json: &serde_json::Value) -> Value {
    cel::to_value(json).unwrap_or(Value::Null)
}

fn map<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    entries.collect::<std::collections::HashMap<_, _>>().into()
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.source)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(source: &str, meta: &str) -> Result<bool, String> {
        let labels = Tags::from([("tier".to_owned(), "pro".to_owned())]);
        let meta = Payload::from(meta.to_owned().into_bytes());
        Expression::new(source).expect(source).holds(Facts {
            subscribed: true,
            user: "7",
            channel: "/users/4",
            meta: Some(&meta),
            labels: Some(&labels),
            vars: [("user", "4")].into_iter(),
        })
    }

    #[test]
    fn expressions_see_the_facts() {
        let meta = r#"{"roles":["admin","editor"],"level":5,"tenant":"acme"}"#;
        for (source, expected) in [
            ("true", true),
            ("subscribed && user == '7' && channel.startsWith('/users/')", true),
            ("vars.user == user", false),
            ("vars.user == user || 'admin' in meta.roles", true),
            ("'root' in meta.roles", false),
            ("meta.level >= 5 && meta.level < 5.5", true),
            ("meta.roles.exists(role, role.startsWith('ed'))", true),
            ("meta.roles.all(one, meta.roles.exists(other, one == other))", true),
            ("size(meta.roles) == 2 && has(meta.tenant) && !has(meta.nothing)", true),
            ("'tier' in labels && labels.tier == 'pro'", true),
            ("channel.matches('^/users/[0-9]+$')", true),
            ("type(user) == string", true),
            ("meta.nothing == 1 || true", true),
        ] {
            assert_eq!(holds(source, meta), Ok(expected), "{source}");
        }
        assert_eq!(holds("meta.nothing == 1", meta), Err("there is no nothing".to_owned()));
        assert!(holds("meta.roles == 1 || user", meta).is_err());
        for none in ["", "[]", "7", "{"] {
            assert_eq!(holds("size(meta) == 0", none), Ok(true), "{none}");
        }
        assert_eq!(holds("user", ""), Err("its value is neither true nor false".to_owned()));
        let error = holds("meta.level > 'a'", meta).unwrap_err();
        assert!(!error.contains('5'), "{error}");
    }

    #[test]
    fn what_cannot_be_compiled_says_why() {
        for (source, problem) in [
            ("user ==", "Syntax error"),
            ("user == 'a' or true", "Syntax error"),
            ("nobody == 'a'", "unknown variable nobody"),
            ("user.foo()", "unknown function foo"),
            ("foo(user)", "unknown function foo"),
            ("channel.matches(user)", "the pattern of matches must be a literal"),
            ("[1].all(a, [1].all(b, [1].all(c, true)))", "loops are more than 2 deep"),
            ("[1].all(a, true) && a == 1", "unknown variable a"),
            ("Thing{a: 1}.a == 1", "unknown type"),
            (&" ".repeat(5_000), "longer than"),
            (&"(".repeat(2_000), "brackets are more than"),
            (&"!".repeat(2_000), "brackets are more than"),
            (&format!("{}true", "true?true:".repeat(190)), "brackets are more than"),
            (&format!("user{}", "+user".repeat(300)), "parts are more than"),
            (&format!("meta{}", ".a".repeat(1_000)), "parts are more than"),
            (&"[".repeat(24), ""),
        ] {
            let error = Expression::new(source).expect_err(source).to_string();
            assert!(
                error.starts_with("invalid expression: ") && error.contains(problem),
                "{source}: {error}"
            );
        }
    }

    /// In a thread with as little stack as tokio's have: the deepest that is taken.
    #[test]
    fn the_deepest_expressions_fit_the_stack() {
        for source in [
            format!("{}true{}", "(".repeat(23), ")".repeat(23)),
            format!("{}true", "!".repeat(22)),
            format!("{}true", "true&&".repeat(300)),
            format!("user{} == ''", "+user".repeat(20)),
        ] {
            assert!(holds(&source, "{}").is_ok(), "{source}");
        }
    }

    #[test]
    fn loops_over_too_much_are_not_begun() {
        let list = |length: usize| format!(r#"{{"a":[{}]}}"#, vec!["1"; length].join(","));
        assert_eq!(holds("meta.a.all(x, x == 1)", &list(1_000)), Ok(true));
        let nested = "meta.a.all(x, meta.a.all(y, x == y))";
        assert_eq!(holds(nested, &list(10)), Ok(true));
        assert_eq!(holds(nested, &list(1_000)), Err("its loops would go over too much".to_owned()));
        assert!(holds("meta.a.all(x, x == 1)", &list(30_000)).is_err());
    }
}
