//! What is done with a statement about sharded tables: which shards it is for, in what words each gets it, and how their
//! answers become one. A plan knows no values, only where they stand, so it does for all texts of one key (see
//! [`Sketch`](crate::parser::Sketch)).

use std::ops::Range;
use std::rc::Rc;

/// Where a value is, when the statement runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// A literal of the text, with a minus before it or none.
    Literal { token: u32, negative: bool },
    /// The `?` of this number, from 0.
    Parameter(u32),
    /// NULL as a word.
    Null,
}

/// What is known of the key's value in the rows that a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Any,
    /// There is no such row.
    Never,
    /// `key = value`; IN is several of them in an [`Condition::Or`].
    Equals(Operand),
    /// The key of a row that is written is this value.
    Stored(Operand),
    /// The key is this value of a row in an IN: `(key, x) IN ((value, 1), ...)`. A MySQL converts each value to the type of its
    /// column (7.5 finds 8), a MariaDB all values of a column to one type (beside a number, `'a'` finds `'b'`).
    InRow(Operand),
    /// `low <= key <= high`, one of the two at least.
    Between {
        low: Option<Bound>,
        high: Option<Bound>,
    },
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

/// An end of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    pub value: Operand,
    pub inclusive: bool,
}

/// Why a statement is not run, and what to change: the text of an error.
pub type Reason = Rc<str>;

/// What becomes of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It uses no sharded table.
    Home,
    Sharded(Rc<Plan>),
    Refused(Reason),
}

/// For a statement that uses sharded tables, all of one rule, or global ones only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its number among the rules; [`GLOBAL`](super::GLOBAL) for global tables.
    pub rule: usize,
    pub action: Action,
    /// What makes of the text that of one shard.
    pub edits: Vec<Edit>,
    /// A table beside them that no rule covers: it is on the server without rules only.
    pub beside: Option<Box<str>>,
    /// The values of literals have decided something (`ORDER BY 2`): it does for this very text only.
    pub of_this_text: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// SELECT and the like.
    Read {
        /// Of each group of tables whose keys are equal to each other. A statement runs on one shard if all of them say the
        /// same one; where a condition holds for no shard, any will do.
        groups: Vec<Condition>,
        /// How it runs on several shards; there is one group then.
        scatter: Result<Scatter, Reason>,
    },
    /// UPDATE, DELETE, INSERT ... SELECT, each shard for itself.
    Write {
        groups: Vec<Condition>,
        /// Whether it may run on several shards.
        several: Result<(), Reason>,
    },
    /// INSERT and REPLACE with rows of values, each row for its own shard.
    Insert { rows: Vec<Row>, ids: Option<Box<Ids>>, several: Result<(), Reason> },
    /// LOAD DATA LOCAL, each row of the file for its own shard.
    Load(Box<Load>),
    /// An INSERT, REPLACE or LOAD DATA without a list of columns, whose order only the server knows: it is planned once the
    /// list stands behind the token `behind`. `schema` is what the table is qualified with.
    Unlisted { table: u32, schema: Option<u32>, behind: u32 },
    /// CREATE, ALTER, DROP, RENAME, TRUNCATE and the like, on all shards. `counts` the rows (none does but TRUNCATE's like).
    Definition,
    /// A read of global tables and no others, which any server's copies answer.
    AnyCopy,
    /// A write of this global table, on all servers.
    EachCopy { table: Box<str> },
    /// EXPLAIN of a statement, on the shards that it is for. `tables` are what its sharded tables are called in it.
    Explain { of: Box<Action>, tables: Vec<Box<str>> },
    /// What tells of a table's form: the first shard answers, and where it says a table's name the logical one is put.
    Describe,
}

impl Action {
    /// The statement that is run, or explained.
    pub fn explained(&self) -> &Self {
        match self {
            Self::Explain { of, .. } => of.explained(),
            other => other,
        }
    }
}

/// One row of an INSERT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// With its parentheses, without commas around it.
    pub tokens: Range<u32>,
    /// The value of the sharding column.
    pub key: Operand,
}

/// What an INSERT or LOAD DATA does with the ids of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// The table that they are for, and what it is qualified with.
    pub table: Box<str>,
    pub schema: Option<Box<str>>,
    pub column: Box<str>,
    /// They are what the sharding column gets.
    pub is_key: bool,
    /// A row that is there already is updated.
    pub updates: bool,
    /// What each row says of its own.
    pub rows: Vec<IdOfRow>,
    /// What makes room for them, beside the other edits.
    pub edits: Vec<Edit>,
}

/// What a row says of its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdOfRow {
    /// Its value, for which one is drawn if it is NULL or zero. `None`: one is drawn.
    pub given: Option<Operand>,
    /// What gives way to the id; none where it is put before the first of them.
    pub tokens: Range<u32>,
}

/// How a LOAD DATA reads its file: the tokens of what it says of that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    pub file: u32,
    pub table: u32,
    /// What the table is qualified with.
    pub schema: Option<u32>,
    pub charset: Option<u32>,
    pub field_end: Option<u32>,
    pub enclosed: Option<u32>,
    pub escaped: Option<u32>,
    pub line_start: Option<u32>,
    pub line_end: Option<u32>,
    /// How many lines come before the first row.
    pub skip: Option<u32>,
    /// How many values a row has.
    pub columns: usize,
    /// Which of them is the sharding column's, if the file has it: else a row's id is.
    pub key: Option<usize>,
    /// What its rows do with the ids of a sequence, and which value is one.
    pub ids: Option<(Ids, Option<usize>)>,
}

/// A change of a text: tokens that give way (none where the range is empty: then it is put before `tokens.start`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub tokens: Range<u32>,
    pub with: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Text(Box<str>),
    /// The physical table of the shard, in backticks: `users_3`.
    Table(Box<str>),
    /// The sum of these: `LIMIT offset + count`.
    Sum(Vec<Operand>),
    /// The value of the `?` of this number, as a literal.
    Parameter(u32),
    /// The merged groups, as a table: see [`Finish`].
    Groups,
    /// The id of the row of this number.
    Id(u32),
}

/// A read of several shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scatter {
    /// In the place of [`Plan::edits`].
    pub edits: Vec<Edit>,
    pub merge: Merge,
    /// What is merged are the groups that the client's rows are made of, not these rows.
    pub finish: Option<Rc<Finish>>,
}

/// How merged groups become the client's rows. The server computes expressions, HAVING and ORDER BY by its own rules: it is
/// said the statement once more, with a table of the groups' values in the place of its tables, and the columns of that table
/// in the place of the aggregates. What the columns of the result are is what it says of the statement itself with LIMIT 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// What makes of the text that with LIMIT 0, for any shard.
    pub described: Vec<Edit>,
    /// What makes of the text the query about the groups. `None`: there is nothing to compute, the rows are the groups.
    pub query: Option<Vec<Edit>>,
    /// Of each column of the result.
    pub items: Vec<Origin>,
    /// The columns of the table of groups, which are called `athena_0` and so on.
    pub inputs: Vec<Input>,
}

/// Where the values of a column are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This column of the merged groups.
    Group(usize),
    /// The query about the groups.
    Query,
    /// The same, with an average in it: that has more digits there than a server shows of it.
    Average,
}

/// A value of a group that the query needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Among the merged columns.
    pub column: usize,
    /// The merged column that has the name of its collation, where it may be a text.
    pub collation: Option<usize>,
    /// An average, of the sum and the count in these columns, with all the digits that a server goes on with.
    pub average: Option<(usize, usize)>,
}

/// How the rows of several shards become one result. Columns are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// The client gets so many columns, the first ones; the others are there to compare by. 0: all of them (`SELECT *`
    /// without anything to compare by, or with it: see `hidden`).
    pub hidden: usize,
    pub rows: Rows,
    /// How rows are ordered; empty: as they come. Where [`Rows::Each`] has an order, each shard's rows come in it.
    pub order: Vec<OrderKey>,
    pub limit: Option<Limit>,
}

/// A column that is counted from the left (visible ones) or from the right (hidden ones, behind a `*` of unknown length).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// From the left, from 0.
    Visible(usize),
    /// Among the last `hidden` ones, from 0.
    Hidden(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// All rows of all shards.
    Each,
    /// Rows alike in `by` are one (DISTINCT, GROUP BY); all others of its columns are `aggregates`, or the first row's.
    Grouped { by: Vec<Compared>, aggregates: Vec<(usize, Aggregate)> },
    /// Aggregates without GROUP BY: each shard has exactly one row.
    One { aggregates: Vec<(usize, Aggregate)> },
}

/// Values that are compared as the server compares them: texts by their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    pub value: Column,
    /// `WEIGHT_STRING()` of it as far as it counts, to be compared by bytes where the value is a text.
    pub weight: Column,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderKey {
    pub by: Compared,
    pub descending: bool,
}

/// How a visible column's values of several shards become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aggregate {
    /// COUNT, and COUNT(DISTINCT key).
    Count,
    /// NULL where all are NULL.
    Sum,
    /// By the weight in this hidden column where it is a text.
    Min {
        weight: Column,
    },
    Max {
        weight: Column,
    },
    /// Of the sum and the count in these columns; the result has four digits more behind the point than the sum has, or
    /// as many as `div_precision_increment` says: as the type of the column itself says.
    Avg {
        sum: Column,
        count: Column,
    },
    BitAnd,
    BitOr,
    BitXor,
    /// COUNT(DISTINCT ...): how many different rows of `of` there are without a NULL.
    CountDistinct {
        of: Rc<[Compared]>,
    },
    /// SUM(DISTINCT ...): the sum of its column, with one row for each value of `of`.
    SumDistinct {
        of: Compared,
    },
    /// VAR_POP and the like, of the count, the mean and the VAR_POP in these columns.
    Deviation {
        count: Column,
        mean: Column,
        variance: Column,
        kind: Deviation,
    },
    /// GROUP_CONCAT.
    Concat(Rc<Concat>),
}

/// Which of the functions of a variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deviation {
    /// Of a sample: VAR_SAMP.
    pub sample: bool,
    /// Its square root: STD.
    pub root: bool,
}

/// How the texts of a group become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concat {
    /// What stands between them; a comma without.
    pub separator: Option<Column>,
    /// How many bytes the server lets it have.
    pub max_len: Column,
    /// The bytes of a text, as the server counts them.
    pub length: Column,
    /// The text of a row, and how many rows have it. `None`: the column itself has the text of all rows of its shard.
    pub row: Option<(Column, Column)>,
    pub order: Vec<OrderKey>,
    /// With DISTINCT: rows alike in these are one.
    pub distinct: Vec<Compared>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    pub offset: Option<Operand>,
    pub count: Operand,
}
