//! Goes through the queries of a statement: finds each use of a sharded table, and what is said of its sharding column.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectFlavor, SetExpr, TableFactor, Visit,
    Visitor,
};

use super::super::plan::{Condition, Edit, Piece, Reason};
use super::super::rules::GLOBAL;
use super::Tables;
use super::condition::View;
use super::groups::Groups;
use super::scope::{Scope, Table};
use super::text::{Text, unreadable};
use crate::parser::is_server_schema;

/// Words that a server takes for the beginning of something else where the parser may see an alias.
const NO_ALIASES: [&str; 10] =
    ["FOR", "INTO", "LOCK", "LIMIT", "PARTITION", "PROCEDURE", "WINDOW", "RETURNING", "TABLESAMPLE", "SET"];

/// One use of a sharded table.
#[derive(Debug)]
pub(super) struct Occurrence {
    pub(super) rule: usize,
    pub(super) scope: usize,
    /// The part of the FROM clause that is NULL as a whole or not at all.
    pub(super) domain: usize,
    /// Where its name is.
    pub(super) token: u32,
    /// The table's own name.
    pub(super) table: String,
    /// What is known, and for rows of which domain.
    pub(super) conditions: Vec<(Condition, usize)>,
}

pub(super) struct Walk<'a> {
    pub(super) text: &'a Text<'a>,
    pub(super) tables: &'a dyn Tables,
    pub(super) occurrences: Vec<Occurrence>,
    pub(super) scopes: Vec<Scope>,
    /// Of each domain, the one around it.
    pub(super) domains: Vec<Option<usize>>,
    pub(super) groups: Groups,
    pub(super) edits: Vec<Edit>,
    /// The scope of a SELECT, by where that is in memory.
    pub(super) scope_of_select: HashMap<usize, usize>,
    /// Names that any WITH has given.
    named: Vec<String>,
}

/// Whether a physical table gets the logical one's name as an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aliasing {
    Added,
    /// Where the grammar has no place for it.
    Impossible,
}

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a Text<'a>, tables: &'a dyn Tables) -> Walk<'a> {
        Walk {
            text,
            tables,
            occurrences: Vec::new(),
            scopes: Vec::new(),
            domains: Vec::new(),
            groups: Groups::default(),
            edits: Vec::new(),
            scope_of_select: HashMap::new(),
            named: Vec::new(),
        }
    }

    pub(super) fn domain_of(&self, occurrence: usize) -> Option<usize> {
        self.occurrences.get(occurrence).map(|occurrence| occurrence.domain)
    }

    pub(super) fn open_domain(&mut self, parent: Option<usize>) -> usize {
        self.domains.push(parent);
        self.domains.len() - 1
    }

    pub(super) fn open_scope(&mut self, parent: Option<usize>) -> usize {
        let domain = self.open_domain(None);
        self.scopes.push(Scope { parent, domain, ..Scope::default() });
        self.scopes.len() - 1
    }

    pub(super) fn tables_of(&self, scope: usize) -> &[Table] {
        self.scopes.get(scope).map_or(&[], |scope| &scope.tables)
    }

    /// A query and all within it. The answer is the scope of its SELECT, if it is just one.
    pub(super) fn query(&mut self, query: &Query, parent: Option<usize>) -> Result<Option<usize>, Reason> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.named.push(cte.alias.name.value.clone());
            self.query(&cte.query, parent)?;
        }
        let scope = self.body(&query.body, parent)?;
        self.sub_queries(&query.order_by, scope.or(parent))?;
        self.sub_queries(&query.limit_clause, scope.or(parent))?;
        let foreign = query.fetch.is_some()
            || query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        if foreign {
            return Err(unreadable("the statement has clauses that MySQL does not have"));
        }
        Ok(scope)
    }

    fn body(&mut self, body: &SetExpr, parent: Option<usize>) -> Result<Option<usize>, Reason> {
        match body {
            SetExpr::Select(select) => self.select(select, parent).map(Some),
            SetExpr::Query(query) => self.query(query, parent).map(|_| None),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, parent)?;
                self.body(right, parent)?;
                Ok(None)
            }
            SetExpr::Values(values) => {
                self.sub_queries(values, parent)?;
                Ok(None)
            }
            _ => Err(unreadable("a query is neither SELECT nor VALUES")),
        }
    }

    fn select(&mut self, select: &Select, parent: Option<usize>) -> Result<usize, Reason> {
        let foreign = select.top.is_some()
            || select.exclude.is_some()
            || !select.lateral_views.is_empty()
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || select.qualify.is_some()
            || select.value_table_mode.is_some()
            || select.flavor != SelectFlavor::Standard;
        if foreign {
            return Err(unreadable("a SELECT has clauses that MySQL does not have"));
        }
        let scope = self.open_scope(parent);
        self.scope_of_select.insert(std::ptr::from_ref(select) as usize, scope);
        self.from(&select.from, scope, Aliasing::Added)?;
        self.sub_queries(&select.projection, Some(scope))?;
        self.sub_queries(&select.into, Some(scope))?;
        self.filter(select.selection.as_ref(), scope)?;
        self.sub_queries(&select.group_by, Some(scope))?;
        self.sub_queries(&select.having, Some(scope))?;
        self.sub_queries(&select.named_window, Some(scope))?;
        Ok(scope)
    }

    /// The WHERE of a scope.
    pub(super) fn filter(&mut self, selection: Option<&Expr>, scope: usize) -> Result<(), Reason> {
        let Some(selection) = selection else { return Ok(()) };
        self.sub_queries(selection, Some(scope))?;
        let restricts = self.tables_of(scope).iter().filter_map(|table| table.occurrence).collect();
        let domain = self.scopes.get(scope).map_or(0, |scope| scope.domain);
        self.conjuncts(selection, &View { scope, restricts, beside: Vec::new(), domain });
        Ok(())
    }

    /// The queries within a part of the syntax tree.
    pub(super) fn sub_queries<T: Visit>(&mut self, part: &T, scope: Option<usize>) -> Result<(), Reason> {
        match part.visit(&mut SubQueries { walk: self, scope, depth: 0 }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(reason) => Err(*reason),
        }
    }

    /// One table of a FROM clause, or what stands for one.
    pub(super) fn factor(
        &mut self,
        factor: &TableFactor,
        scope: usize,
        domain: usize,
        aliasing: Aliasing,
    ) -> Result<(), Reason> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                inheritance: None,
                ..
            } if with_hints.is_empty() => {
                let table = self.table_name(name)?;
                let Some((rule, last)) = table else {
                    let name = alias.as_ref().map(|alias| &alias.name).or_else(|| last_ident(name));
                    self.push_table(scope, name.map_or("", |name| &name.value), None);
                    return Ok(());
                };
                let token = self.text.ident(last)?;
                let aliased = alias.is_some();
                let word = alias.as_ref().filter(|alias| !alias.explicit && alias.name.quote_style.is_none());
                if word.is_some_and(|alias| {
                    NO_ALIASES.iter().any(|no| alias.name.value.eq_ignore_ascii_case(no))
                }) {
                    return Err(unreadable("a word behind a table's name is not clear"));
                }
                if !aliased && !partitions.is_empty() && aliasing == Aliasing::Added {
                    return Err("a sharded table with PARTITION needs an alias".into());
                }
                let qualifier = alias.as_ref().map_or(&last.value, |alias| &alias.name.value).clone();
                self.occurrence(rule, last, token, scope, domain);
                self.push_table(scope, &qualifier, Some(self.occurrences.len() - 1));
                self.name_edit(
                    token,
                    &last.value,
                    (!aliased && aliasing == Aliasing::Added).then_some(token),
                );
                Ok(())
            }
            TableFactor::Derived { lateral: false, subquery, alias, sample: None } => {
                let parent = self.scopes.get(scope).and_then(|scope| scope.parent);
                self.query(subquery, parent)?;
                self.push_table(scope, alias.as_ref().map_or("", |alias| &alias.name.value), None);
                Ok(())
            }
            _ => Err("a FROM clause with this form of table cannot use sharded tables".into()),
        }
    }

    fn push_table(&mut self, scope: usize, name: &str, occurrence: Option<usize>) {
        if let Some(scope) = self.scopes.get_mut(scope) {
            scope.tables.push(Table { name: name.to_owned(), occurrence });
        }
    }

    /// Notes a use of a sharded table.
    pub(super) fn occurrence(&mut self, rule: usize, name: &Ident, token: u32, scope: usize, domain: usize) {
        let table = name.value.clone();
        self.occurrences.push(Occurrence { rule, scope, domain, token, table, conditions: Vec::new() });
        self.groups.add();
    }

    /// The physical name in the place of the logical one; `alias` is the token whose words become its alias.
    pub(super) fn name_edit(&mut self, token: u32, table: &str, alias: Option<u32>) {
        let mut with = vec![Piece::Table(table.into())];
        if let Some(alias) = alias {
            let name = self.text.name(alias).unwrap_or_default().replace('`', "``");
            with.push(Piece::Text(format!(" AS `{name}`").into()));
        }
        self.edits.push(Edit { tokens: token..token + 1, with });
    }

    /// The rule of a table and the last part of its name, unless it is no sharded one.
    pub(super) fn table_name<'n>(&self, name: &'n ObjectName) -> Result<Option<(usize, &'n Ident)>, Reason> {
        let mut parts = Vec::new();
        for part in &name.0 {
            match part {
                ObjectNamePart::Identifier(ident) => parts.push(ident),
                ObjectNamePart::Function(_) => return Err(unreadable("a table's name is no name")),
            }
        }
        let (schema, table) = match parts.as_slice() {
            [table] => (None, *table),
            [schema, table] => (Some(*schema), *table),
            _ => return Err(unreadable("a table's name has more than two parts")),
        };
        let server = schema.is_some_and(|schema| is_server_schema(schema.value.as_bytes()));
        let rule = self.tables.rule_of(table.value.as_bytes()).filter(|_| !server);
        // Some servers tell names of WITH apart by their case, others do not.
        let is_like = |cte: &String| cte.eq_ignore_ascii_case(&table.value);
        if rule.is_some() && schema.is_none() && self.named.iter().any(is_like) {
            return Err(format!(
                "WITH gives `{}` the name of a sharded table: use another name",
                table.value
            )
            .into());
        }
        Ok(rule.map(|rule| (rule, table)))
    }

    /// The name of a table, if it is a global one.
    pub(super) fn global(&self, name: &ObjectName) -> Option<String> {
        let table = self.global_target(name)?;
        let is_of_with = name.0.len() == 1 && self.named.iter().any(|cte| cte.eq_ignore_ascii_case(&table));
        (!is_of_with).then_some(table)
    }

    /// The same of a table that is written: WITH gives no such names.
    pub(super) fn global_target(&self, name: &ObjectName) -> Option<String> {
        let table = last_ident(name)?;
        (self.tables.known(table.value.as_bytes()) == Some(GLOBAL) && !is_of_server(name))
            .then(|| table.value.clone())
    }

    /// Notes the names that WITH gives, where the queries are not gone through.
    pub(super) fn names_of_with<T: Visit>(&mut self, statement: &T) {
        let _ = statement.visit(&mut WithNames(&mut self.named));
    }

    /// A table of the statement that is neither sharded nor global; tables of the server itself are everywhere.
    pub(super) fn table_beside<T: Visit>(&self, statement: &T) -> Option<Box<str>> {
        match statement.visit(&mut Beside(self)) {
            ControlFlow::Continue(()) => None,
            ControlFlow::Break(name) => Some(name),
        }
    }

    /// That no use of a sharded table has been overlooked.
    pub(super) fn check_all_found<T: Visit>(&self, statement: &T) -> Result<(), Reason> {
        match statement.visit(&mut Relations(self)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(reason) => Err(*reason),
        }
    }
}

pub(super) fn last_ident(name: &ObjectName) -> Option<&Ident> {
    match name.0.last() {
        Some(ObjectNamePart::Identifier(ident)) => Some(ident),
        _ => None,
    }
}

/// Whether a table is in a schema of the server's own.
pub(super) fn is_of_server(name: &ObjectName) -> bool {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(schema), _, ..] => is_server_schema(schema.value.as_bytes()),
        _ => false,
    }
}

struct WithNames<'n>(&'n mut Vec<String>);

impl Visitor for WithNames<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0.extend(ctes.map(|cte| cte.alias.name.value.clone()));
        ControlFlow::Continue(())
    }
}

struct SubQueries<'w, 'a> {
    walk: &'w mut Walk<'a>,
    scope: Option<usize>,
    depth: usize,
}

impl Visitor for SubQueries<'_, '_> {
    type Break = Box<Reason>;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        self.depth += 1;
        if self.depth == 1
            && let Err(reason) = self.walk.query(query, self.scope)
        {
            return ControlFlow::Break(Box::new(reason));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Self::Break> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

struct Beside<'w, 'a>(&'w Walk<'a>);

impl Visitor for Beside<'_, '_> {
    type Break = Box<str>;

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<Self::Break> {
        let Some(table) = last_ident(name) else { return ControlFlow::Continue(()) };
        let schema = name.0.len() > 1;
        let is_everywhere = is_of_server(name)
            || self.0.global(name).is_some()
            || !schema && table.quote_style.is_none() && table.value.eq_ignore_ascii_case("dual")
            || !schema && self.0.named.iter().any(|named| named.eq_ignore_ascii_case(&table.value));
        match is_everywhere || matches!(self.0.table_name(name), Ok(Some(_))) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(table.value.as_str().into()),
        }
    }
}

struct Relations<'w, 'a>(&'w Walk<'a>);

impl Visitor for Relations<'_, '_> {
    type Break = Box<Reason>;

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<Self::Break> {
        let walk = self.0;
        let found = match walk.table_name(name) {
            Ok(Some((_, table))) => match walk.text.ident(table) {
                Ok(token) => walk.occurrences.iter().any(|occurrence| occurrence.token == token),
                Err(reason) => return ControlFlow::Break(Box::new(reason)),
            },
            Ok(None) => true,
            Err(reason) => return ControlFlow::Break(Box::new(reason)),
        };
        match found {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(Box::new("a sharded table cannot be used in this place".into())),
        }
    }
}
