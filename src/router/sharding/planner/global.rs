//! Statements about global tables, of which every server has a copy. A read goes to any of them, a write to all: so it has to do
//! the same on each.

use std::ops::ControlFlow;

use sqlparser::ast::{
    AssignmentTarget, Delete, Expr, FromTable, Insert, ObjectName, Query, SetExpr, Statement, TableFactor,
    TableObject, TableWithJoins, Update, Visit, Visitor,
};

use super::super::plan::{Action, Reason};
use super::super::rules::GLOBAL;
use super::definition::definition;
use super::statement::may_use;
use super::text::{Text, unreadable};
use super::walk::{Walk, last_ident};
use super::{Tables, Use};

/// Functions that give the same on every server. What depends on the time is among them: a write has the same time everywhere.
const SAME: &str = "ABS ACOS ADDDATE ADDTIME AES_DECRYPT AES_ENCRYPT ASCII ASIN ATAN ATAN2 AVG BIN BIN_TO_UUID BIT_COUNT \
    BIT_LENGTH CAST CEIL CEILING CHAR CHARACTER_LENGTH CHAR_LENGTH COALESCE CONCAT CONCAT_WS CONV CONVERT COS \
    COT COUNT CRC32 CURDATE CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURTIME DATE DATEDIFF DATE_ADD \
    DATE_FORMAT DATE_SUB DAY DAYNAME DAYOFMONTH DAYOFWEEK DAYOFYEAR DEFAULT DEGREES ELT EXP EXPORT_SET \
    EXTRACT FIELD FIND_IN_SET FLOOR FORMAT FROM_BASE64 FROM_DAYS FROM_UNIXTIME GREATEST GROUP_CONCAT HEX HOUR \
    IF IFNULL INET6_ATON INET6_NTOA INET_ATON INET_NTOA INSERT INSTR INTERVAL ISNULL JSON_ARRAY JSON_CONTAINS \
    JSON_EXTRACT JSON_INSERT JSON_LENGTH JSON_MERGE_PATCH JSON_OBJECT JSON_QUOTE JSON_REMOVE JSON_REPLACE \
    JSON_SEARCH JSON_SET JSON_TYPE JSON_UNQUOTE JSON_VALID JSON_VALUE LAST_DAY LCASE LEAST LEFT LENGTH LN \
    LOCALTIME LOCALTIMESTAMP LOCATE LOG LOG10 LOG2 LOWER LPAD LTRIM MAKEDATE MAKETIME MAX MD5 MICROSECOND MID \
    MIN MINUTE MOD MONTH MONTHNAME NOW NULLIF OCT ORD PERIOD_ADD PERIOD_DIFF PI POSITION POW POWER QUARTER \
    QUOTE RADIANS REPEAT REPLACE REVERSE RIGHT ROUND RPAD RTRIM SECOND SEC_TO_TIME SHA1 SHA2 SIGN SIN SPACE \
    SQRT STRCMP STR_TO_DATE SUBSTR SUBSTRING SUBSTRING_INDEX SUM TAN TIME TIMEDIFF TIMESTAMP TIMESTAMPADD \
    TIMESTAMPDIFF TIME_FORMAT TIME_TO_SEC TO_BASE64 TO_DAYS TRIM TRUNCATE UCASE UNHEX UNIX_TIMESTAMP UPPER \
    UTC_DATE UTC_TIME UTC_TIMESTAMP UUID_TO_BIN VALUE VALUES WEEK WEEKDAY WEEKOFYEAR YEAR YEARWEEK";

/// Names without parentheses that are functions, and differ.
const OTHERS: [&str; 3] = ["CURRENT_USER", "CURRENT_ROLE", "SESSION_USER"];

/// What a table is made with that gives other values on each server.
pub(super) const NOT_IN_DEFAULTS: [&str; 7] =
    ["UUID", "UUID_V4", "UUID_V7", "UUID_SHORT", "SYS_GUID", "RAND", "RANDOM_BYTES"];

/// A statement in which there is no sharded table.
pub(super) fn of_global_tables(text: &mut Text<'_>, tables: &dyn Tables) -> Result<Use, Reason> {
    if let Some(usage) = definition(text, tables) {
        return usage;
    }
    // [backend] has a copy too, which answers all that can't be read with certainty.
    let is_read = text.is_any(0, &["SELECT", "TABLE", "VALUES"]) || text.is_byte(0, "(");
    match statement(text, tables) {
        Err(_) if is_read || !may_use(text, &|name| tables.known(name).is_some()) => Ok(Use::Home),
        usage => usage,
    }
}

fn statement(text: &mut Text<'_>, tables: &dyn Tables) -> Result<Use, Reason> {
    if text.sketch.doubtful {
        return Err(
            "words that servers may read in two ways cannot be in a write of a global table: write it without them".into()
        );
    }
    let parsed = text.parse()?;
    let mut walk = Walk::new(text, tables);
    walk.names_of_with(&parsed);
    let action = match walk.action_on_copies(&parsed)? {
        Some(action) => action,
        None => return Ok(Use::Home),
    };
    Ok(Use::Sharded { rule: GLOBAL, action, edits: Vec::new(), beside: None, of_this_text: false })
}

impl Walk<'_> {
    /// `None`: [backend] has all that the statement needs, and nobody else does.
    fn action_on_copies(&self, statement: &Statement) -> Result<Option<Action>, Reason> {
        if let Statement::Query(query) = statement
            && matches!(
                *query.body,
                SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
            )
        {
            return Err("a statement that writes cannot begin with WITH where there are global tables".into());
        }
        if let Statement::Explain { statement, analyze, .. } = statement {
            let of = self.action_on_copies(statement)?;
            if *analyze && matches!(of, Some(Action::EachCopy { .. })) {
                return Err(
                    "EXPLAIN ANALYZE of a statement that writes is not supported with global tables".into()
                );
            }
            return Ok(of.map(|of| Action::Explain { of: Box::new(of), tables: Vec::new() }));
        }
        match self.written_global(statement)? {
            Some(table) => {
                self.check_same_everywhere(statement, &table)?;
                Ok(Some(Action::EachCopy { table: table.into() }))
            }
            None => Ok(self.is_answered_by_any(statement).then_some(Action::AnyCopy)),
        }
    }

    /// Whether it is a read of nothing but global tables, which is the same on each server.
    fn is_answered_by_any(&self, statement: &Statement) -> bool {
        let text = self.text;
        let is_of_one = |token| {
            text.is(token, "INTO")
                || text.is(token, "FOR") && text.is_any(token + 1, &["UPDATE", "SHARE"])
                || text.is(token, "LOCK") && text.is(token + 1, "IN")
        };
        matches!(statement, Statement::Query(_))
            && self.global_in(statement).is_some()
            && self.table_beside(statement).is_none()
            && !(0..text.len()).any(is_of_one)
            && statement.visit(&mut Differs { queries: true }).is_continue()
    }

    /// The global table that a statement writes.
    ///
    /// # Errors
    /// It is not certain which one it writes.
    pub(super) fn written_global(&self, statement: &Statement) -> Result<Option<String>, Reason> {
        match statement {
            Statement::Insert(Insert { table: TableObject::TableName(name), .. }) => {
                Ok(self.global_target(name))
            }
            Statement::Update(update) => self.updated_global(update),
            Statement::Delete(delete) => self.deleted_global(delete),
            Statement::Explain { statement, .. } => self.written_global(statement),
            _ => Ok(None),
        }
    }

    fn updated_global(&self, update: &Update) -> Result<Option<String>, Reason> {
        let tables = self.tables_in(std::slice::from_ref(&update.table))?;
        let Some(any) = tables.iter().find_map(|(_, global)| global.clone()) else { return Ok(None) };
        for assignment in &update.assignments {
            let AssignmentTarget::ColumnName(column) = &assignment.target else {
                return Err(unreadable("an assignment has several columns"));
            };
            let qualifier = column.0.iter().rev().nth(1).and_then(|part| part.as_ident());
            let of = match qualifier {
                Some(qualifier) => find(&tables, &qualifier.value),
                None if tables.len() == 1 => tables.first(),
                None => None,
            };
            match of {
                Some((_, None)) => {}
                Some((_, Some(global))) => return Ok(Some(global.clone())),
                None => {
                    return Err(format!(
                        "whether the UPDATE changes the global table `{any}` is not clear: qualify the columns with their table"
                    )
                    .into());
                }
            }
        }
        Ok(None)
    }

    fn deleted_global(&self, delete: &Delete) -> Result<Option<String>, Reason> {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let mut tables = self.tables_in(from)?;
        tables.extend(self.tables_in(delete.using.as_deref().unwrap_or_default())?);
        let Some(any) = tables.iter().find_map(|(_, global)| global.clone()) else { return Ok(None) };
        if delete.tables.is_empty() {
            return Ok(Some(any));
        }
        for target in &delete.tables {
            match last_ident(target).and_then(|name| find(&tables, &name.value)) {
                Some((_, None)) => {}
                Some((_, Some(global))) => return Ok(Some(global.clone())),
                None => {
                    return Err(
                        format!("whether the DELETE is from the global table `{any}` is not clear").into()
                    );
                }
            }
        }
        Ok(None)
    }

    /// What tables are called, and which of them are global.
    fn tables_in(&self, from: &[TableWithJoins]) -> Result<Vec<(String, Option<String>)>, Reason> {
        let mut tables = Vec::new();
        for from in from {
            let joined = from.joins.iter().map(|join| &join.relation);
            for factor in std::iter::once(&from.relation).chain(joined) {
                match factor {
                    TableFactor::Table { name, alias, .. } => {
                        let called = alias.as_ref().map(|alias| &alias.name).or_else(|| last_ident(name));
                        let called = called.map_or_else(String::new, |name| name.value.clone());
                        tables.push((called, self.global_target(name)));
                    }
                    TableFactor::Derived { alias: Some(alias), .. } => {
                        tables.push((alias.name.value.clone(), None));
                    }
                    TableFactor::NestedJoin { table_with_joins, .. } => {
                        tables.extend(self.tables_in(std::slice::from_ref(table_with_joins))?);
                    }
                    _ => {
                        return Err("a statement that writes cannot have this form of table beside sharded or global ones".into());
                    }
                }
            }
        }
        Ok(tables)
    }

    /// That a write does the same on each server's copy, whatever else is there.
    fn check_same_everywhere(&self, statement: &Statement, table: &str) -> Result<(), Reason> {
        let refuse = |why: &str| {
            Err(Reason::from(format!(
                "a write of the global table `{table}` must do the same on every server's copy: {why}"
            )))
        };
        let differs = match statement {
            Statement::Insert(insert) => {
                let source = insert.source.as_deref();
                if source.is_some_and(|source| {
                    !matches!(source.body.as_ref(), SetExpr::Values(_)) || source.with.is_some()
                }) {
                    return refuse(
                        "INSERT ... SELECT may read other rows on each; select first, then insert the values",
                    );
                }
                if insert.returning.is_some() {
                    return refuse("RETURNING is not supported");
                }
                let values = source.map(|source| source.body.as_ref());
                all([values.and_then(differs), differs(&insert.assignments), differs(&insert.on)])
            }
            Statement::Update(update) => {
                if !is_one_table(&update.table) {
                    return refuse(
                        "joins may find other rows on each; read first, then update by the values",
                    );
                }
                if update.limit.is_some() {
                    return refuse("LIMIT may take other rows on each; compare a key with values");
                }
                all([differs(&update.assignments), differs(&update.selection), differs(&update.order_by)])
            }
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
                if delete.using.is_some() || from.len() != 1 || !from.iter().all(is_one_table) {
                    return refuse(
                        "joins may find other rows on each; read first, then delete by the values",
                    );
                }
                if delete.limit.is_some() {
                    return refuse("LIMIT may take other rows on each; compare a key with values");
                }
                if delete.returning.is_some() {
                    return refuse("RETURNING is not supported");
                }
                all([differs(&delete.selection), differs(&delete.order_by)])
            }
            _ => return refuse("it can't be a statement of this kind"),
        };
        match differs {
            None => Ok(()),
            Some(what) => {
                refuse(&format!("{what} may be something else on each; read it first, then write the value"))
            }
        }
    }

    /// A global table that a statement names, wherever.
    pub(super) fn global_in<T: Visit>(&self, statement: &T) -> Option<String> {
        match statement.visit(&mut Globals(self)) {
            ControlFlow::Break(name) => Some(name),
            ControlFlow::Continue(()) => None,
        }
    }
}

fn is_one_table(from: &TableWithJoins) -> bool {
    from.joins.is_empty() && matches!(from.relation, TableFactor::Table { .. })
}

fn find<'t>(tables: &'t [(String, Option<String>)], name: &str) -> Option<&'t (String, Option<String>)> {
    tables.iter().find(|(called, _)| called.eq_ignore_ascii_case(name))
}

fn all<const PARTS: usize>(parts: [Option<String>; PARTS]) -> Option<String> {
    parts.into_iter().flatten().next()
}

/// What in a part of a statement may be different on each server.
fn differs<T: Visit>(part: &T) -> Option<String> {
    match part.visit(&mut Differs { queries: false }) {
        ControlFlow::Break(what) => Some(what),
        ControlFlow::Continue(()) => None,
    }
}

struct Differs {
    /// There may be queries.
    queries: bool,
}

impl Visitor for Differs {
    type Break = String;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<String> {
        match self.queries {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break("a sub-query".to_owned()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        let is_same = |name: &str| SAME.split(' ').any(|same| same.eq_ignore_ascii_case(name));
        match expr {
            Expr::Function(function) => match function.name.0.as_slice() {
                [only] if only.as_ident().is_some_and(|name| is_same(&name.value)) => {
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Break(format!("{}()", function.name)),
            },
            Expr::Identifier(name)
                if name.quote_style.is_none()
                    && (name.value.starts_with('@')
                        || OTHERS.iter().any(|other| other.eq_ignore_ascii_case(&name.value))) =>
            {
                ControlFlow::Break(name.value.clone())
            }
            Expr::CompoundIdentifier(parts)
                if parts.first().is_some_and(|part| part.value.starts_with('@')) =>
            {
                ControlFlow::Break(expr.to_string())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

struct Globals<'w, 'a>(&'w Walk<'a>);

impl Visitor for Globals<'_, '_> {
    type Break = String;

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<String> {
        self.0.global(name).map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }
}
