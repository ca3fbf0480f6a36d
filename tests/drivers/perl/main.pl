# DBD::MariaDB, as an application uses it: prints what it saw, exits non-zero when that is not what it should have seen.
#
# Usage: main.pl HOST PORT USER PASSWORD DATABASE
#
# The database must be empty. What is printed must not depend on the run: no ids of connections, no ports, no times.
# A statement is prepared by the driver or, with mariadb_server_prepare, on the server.

use strict;
use warnings;
use utf8;

use DBI qw(:sql_types);
use Digest::SHA qw(sha256_hex);
use Encode qw(encode_utf8);
use POSIX ();

# Longer values are printed as a digest.
use constant LONGEST_SHOWN => 300;
use constant MANY_STATEMENTS => 300;
use constant STREAMED_ROWS => 5000;
# A row of this many bytes needs a second packet.
use constant LONG_BLOB => 17 * 1024 * 1024;
use constant CHILDREN => 4;
use constant STATEMENTS_PER_CHILD => 50;

my ($host, $port, $user, $password, $database) = @ARGV;
my @WAYS = ({ mariadb_server_prepare => 0 }, { mariadb_server_prepare => 1 });
my $ALL_BYTES = join '', map { chr } 0 .. 255;

$| = 1;

my @COLUMNS = (
    tiny => 'TINYINT', tiny_u => 'TINYINT UNSIGNED', small => 'SMALLINT', medium => 'MEDIUMINT UNSIGNED', normal => 'INT',
    big => 'BIGINT', big_u => 'BIGINT UNSIGNED', price => 'DECIMAL(40,10)', ratio => 'FLOAT', exact => 'DOUBLE',
    day => 'DATE', hours => 'TIME(6)', moment => 'DATETIME', micro => 'DATETIME(6)', stamp => 'TIMESTAMP(3) NULL',
    in_year => 'YEAR', letters => 'CHAR(10)', words => 'VARCHAR(200)', latin => 'VARCHAR(20) CHARACTER SET latin1',
    story => 'LONGTEXT', raw_fixed => 'BINARY(4)', raw => 'VARBINARY(300)', blob_long => 'LONGBLOB', bits => 'BIT(20)',
    colour => q(ENUM('red', 'blue')), tags => q(SET('a', 'b', 'c')), doc => 'JSON',
);
my @BINARY = qw(raw_fixed raw blob_long bits);
my @ROWS = (
    [
        -1, 255, -300, 70000, -70000, '-5000000000', '18446744073709551615', '1234.5678000000', 0.5, 0.1, '2024-02-29',
        '-12:34:56.000001', '2024-02-29 23:59:58', '2024-02-29 23:59:58.123456', '2024-07-01 12:00:00.123', 2024, 'Grüße',
        '👍 日本語', 'ÿ', q(it's "quoted" \\ and), "\0\xff'\\", $ALL_BYTES, $ALL_BYTES x 300, "\x0a\xbc\xde", 'blue', 'a,c',
        '{"a": [1, null, "ü"]}',
    ],
    [
        -128, 0, -32768, 0, -2147483648, '-9223372036854775808', 0, '-999999999999999999999999999999.9999999999', -1.5,
        '-1.7976931348623157e308', '1000-01-01', '-838:59:59.000000', '1000-01-01 00:00:00', '1000-01-01 00:00:00.000000',
        '1971-01-01 00:00:00.000', 1901, '', '', '', '', "\0\0\0\0", '', '', "\0\0\0", 'red', '', '[]',
    ],
    [
        127, 255, 32767, 16777215, 2147483647, '9223372036854775807', '18446744073709551615',
        '999999999999999999999999999999.9999999999', 65536, '1.7976931348623157e308', '9999-12-31', '838:59:58.999999',
        '9999-12-31 23:59:59', '9999-12-31 23:59:59.999999', '2037-12-31 23:59:59.999', 2155, '👍' x 10, 'ü' x 126,
        'ÿ' x 20, 's' x 65536, "\xff" x 4, "\xfb" x 300, "\xfe" x 70000, "\x0f\xff\xff", 'blue', 'a,b,c', '{"deep": [[[1]]]}',
    ],
    [(undef) x (@COLUMNS / 2)],
);

sub connect_with {
    my (%options) = @_;
    my $source = "DBI:MariaDB:host=$host;port=$port;database=$database";
    return DBI->connect($source, $user, $password, { PrintError => 0, RaiseError => 1, %options });
}

sub greeting {
    my $connection = connect_with();
    say_values('server', @$connection{qw(mariadb_serverversion mariadb_serverinfo mariadb_protoinfo AutoCommit)});
    run($connection, 'SELECT VERSION(), DATABASE(), CURRENT_USER(), USER()');
    run($connection, 'SELECT @@character_set_client, @@collation_connection, @@autocommit, @@sql_mode');
    $connection->disconnect;
    for my $options ({ mariadb_init_command => q(SET time_zone = '+05:30') }, { AutoCommit => 0 },
        { mariadb_client_found_rows => 0 }, { mariadb_conn_attrs => { program_name => 'drivers' } }) {
        $connection = connect_with(%$options);
        run($connection, 'SELECT @@time_zone, @@autocommit');
        run($connection, 'CREATE TEMPORARY TABLE found (a INT)');
        run($connection, 'INSERT INTO found VALUES (1), (2)');
        run($connection, 'UPDATE found SET a = a');
        $connection->disconnect;
    }
}

sub types {
    my @pairs = @COLUMNS;
    my (@names, @definitions);
    while (my ($name, $kind) = splice @pairs, 0, 2) {
        push @names, $name;
        push @definitions, "$name $kind";
    }
    my %binary = map { $_ => 1 } @BINARY;
    for my $way (@WAYS) {
        my $connection = connect_with(%$way);
        run($connection, 'CREATE TABLE types (id INT AUTO_INCREMENT PRIMARY KEY, ' . join(', ', @definitions) . ')');
        my $sql = 'INSERT INTO types (' . join(', ', @names) . ') VALUES (' . join(', ', ('?') x @names) . ')';
        my $insert = $connection->prepare($sql);
        for my $row (@ROWS) {
            for my $number (0 .. $#names) {
                $insert->bind_param($number + 1, $row->[$number], $binary{ $names[$number] } ? SQL_BLOB : SQL_VARCHAR);
            }
            say_values('inserted', $insert->execute, $connection->last_insert_id(undef, undef, undef, undef));
        }
        my $rows = run($connection, 'SELECT * FROM types ORDER BY id');
        expect(@$rows == @ROWS, 'a row for each that was inserted');
        run($connection, 'SELECT * FROM types WHERE id > ? ORDER BY id', 2);
        run($connection, 'SELECT 1 WHERE 1 = 0');
        run($connection, q(SELECT '' AS a, NULL AS b UNION ALL SELECT 'x', ''));
        run($connection, q(SET sql_mode = 'ALLOW_INVALID_DATES'));
        run($connection, q(INSERT INTO types (day, moment) VALUES ('0000-00-00', '2024-02-31')));
        run($connection, 'SELECT day, moment FROM types WHERE id = ?', 5);
        run($connection, 'DROP TABLE types');
        $connection->disconnect;
    }
}

sub parameters {
    my @values = (42, 'text 👍', undef, 1.5, '', -1, q(it's \\ "quoted"), '18446744073709551615', "\0");
    for my $way (@WAYS) {
        my $connection = connect_with(%$way);
        my $statement = $connection->prepare('SELECT ? AS a, ? AS b, ? + 1 AS c');
        for my $number (0 .. $#values) {
            # One statement, and each time parameters of other types.
            $statement->bind_param(1, $number, SQL_INTEGER);
            $statement->bind_param(2, $values[$number], $number % 2 ? SQL_VARCHAR : undef);
            $statement->bind_param(3, $number / 4, SQL_DOUBLE);
            $statement->execute;
            tell_rows($statement);
        }
        run($connection, 'SELECT * FROM (SELECT 1 AS a UNION SELECT 2 UNION SELECT 3) AS t ORDER BY a LIMIT ?', 2);
        $connection->disconnect;
    }
}

sub prepared {
    my $connection = connect_with(mariadb_server_prepare => 1);
    my (@statements, @seen);
    push @statements, $connection->prepare("SELECT $_ + ?") for 1 .. MANY_STATEMENTS;
    for my $round (0, 1) {
        for my $number (1 .. MANY_STATEMENTS) {
            my $statement = $statements[$number - 1];
            $statement->execute($round);
            my ($sum) = $statement->fetchrow_array;
            $statement->finish;
            expect($sum == $number + $round, "statement $number: $sum");
            push @seen, $sum;
        }
    }
    say_values('seen', sha256_hex("@seen"));
    @statements = ();
    run($connection, 'CREATE TABLE altered (a INT)');
    run($connection, 'INSERT INTO altered VALUES (?)', 1);
    my $statement = $connection->prepare('SELECT * FROM altered WHERE a = ?');
    $statement->execute(1);
    tell_rows($statement);
    run($connection, 'DROP TABLE altered');
    refused($connection, 1146, sub { $statement->execute(1) });
    refused($connection, 1064, sub { $connection->prepare('SELEKT ?')->execute(1) });
    $connection->disconnect;
}

sub transactions {
    my ($writer, $reader) = (connect_with(mariadb_server_prepare => 1), connect_with());
    my $count = sub { ($reader->selectrow_array('SELECT COUNT(*) FROM accounts'))[0] };
    run($writer, 'CREATE TABLE accounts (id INT PRIMARY KEY, money INT)');
    $writer->begin_work;
    run($writer, 'INSERT INTO accounts VALUES (?, ?), (2, 50)', 1, 100);
    expect($count->() == 0, 'nobody sees what is not committed');
    $writer->commit;
    expect($count->() == 2, 'everybody sees what is committed');
    $writer->{AutoCommit} = 0;
    run($writer, 'DELETE FROM accounts WHERE id = 1');
    run($writer, 'SAVEPOINT half');
    run($writer, 'DELETE FROM accounts WHERE id = 2');
    run($writer, 'ROLLBACK TO SAVEPOINT half');
    run($writer, 'SELECT * FROM accounts');
    refused($writer, 1062, sub { run($writer, 'INSERT INTO accounts VALUES (?, 1)', 2) });
    expect($count->() == 2, 'nobody sees what is not committed');
    $writer->rollback;
    expect($count->() == 2, 'nothing of it is left');
    run($writer, 'UPDATE accounts SET money = 0');
    $writer->{AutoCommit} = 1;
    run($reader, 'SELECT * FROM accounts ORDER BY id');
    run($reader, 'SET SESSION TRANSACTION READ ONLY');
    refused($reader, 1792, sub { run($reader, 'DELETE FROM accounts') });
    run($writer, 'DROP TABLE accounts');
    $_->disconnect for $writer, $reader;
}

sub many {
    for my $way (@WAYS) {
        my $connection = connect_with(%$way);
        run($connection, 'CREATE TABLE many (id INT AUTO_INCREMENT PRIMARY KEY, a INT UNIQUE, b VARCHAR(20))');
        my $statement = $connection->prepare('INSERT INTO many (a, b) VALUES (?, ?)');
        my $done = $statement->execute_array({ ArrayTupleStatus => \my @each }, [1 .. 200], [map {"row $_"} 1 .. 200]);
        say_values('array', $done, scalar @each, $statement->{mariadb_insertid});
        $done = eval { $statement->execute_array({ ArrayTupleStatus => \@each }, [500, 1, 501], ['new', 'twice', 'newer']) };
        say_values('array', $done, map { ref $_ ? @$_ : $_ } @each);
        run($connection, 'INSERT INTO many (a) VALUES (1001), (1002)');
        run($connection, 'SELECT LAST_INSERT_ID()');
        run($connection, 'INSERT INTO many (a) VALUES (?) ON DUPLICATE KEY UPDATE b = ?', 1, 'changed');
        run($connection, 'SELECT COUNT(*), SUM(a), MAX(id) FROM many');
        run($connection, 'UPDATE many SET a = a WHERE id < ?', 100);
        run($connection, 'DROP TABLE many');
        $connection->disconnect;
    }
}

sub errors {
    for my $way (@WAYS) {
        my $connection = connect_with(%$way);
        run($connection, 'CREATE TABLE errors (id INT PRIMARY KEY, name VARCHAR(5) NOT NULL)');
        run($connection, 'INSERT INTO errors VALUES (?, ?)', 1, 'one');
        my @refusals = (
            [1062, 'INSERT INTO errors VALUES (?, ?)', 1, 'eins'], [1064, 'SELEKT ?', 1], [1064, 'SELECT 1; SELECT 2'],
            [1146, 'SELECT * FROM no_such_table WHERE a = ?', 1], [1054, 'SELECT `no such column ü` FROM errors'],
            [1048, 'INSERT INTO errors VALUES (?, ?)', 2, undef], [1406, 'INSERT INTO errors VALUES (?, ?)', 2, 'too long'],
            [1049, 'USE no_such_database'], [1305, 'CALL no_such_procedure()'],
        );
        for my $refusal (@refusals) {
            my ($code, @statement) = @$refusal;
            refused($connection, $code, sub { run($connection, @statement) });
        }
        run($connection, q(SELECT 1 / 0, CAST(? AS SIGNED)), '12 apples');
        run($connection, 'SHOW WARNINGS');
        run($connection, q(INSERT IGNORE INTO errors VALUES (1, 'uno'), (3, 'cut off here')));
        say_values('info', $connection->{mariadb_info}, $connection->{mariadb_warning_count});
        run($connection, 'DROP TABLE errors');
        $connection->disconnect;
    }
    for my $wrong (["$user", 'wrong', $database], ['nobody', $password, $database], [$user, $password, 'no_such_database']) {
        my $source = "DBI:MariaDB:host=$host;port=$port;database=$wrong->[2]";
        my $connection = DBI->connect($source, $wrong->[0], $wrong->[1], { PrintError => 0, RaiseError => 0 });
        expect(!$connection, 'logged in');
        say_values('login', DBI->err, $DBI::state, DBI->errstr);
    }
}

sub several_results {
    my $connection = connect_with(mariadb_multi_statements => 1);
    several($connection, q(SELECT 1 AS a; SELECT 2 AS b, 'x' AS c UNION ALL SELECT 3, 'y'; SELECT 4 WHERE 1 = 0));
    several($connection, 'CREATE TABLE multi (id INT AUTO_INCREMENT PRIMARY KEY); INSERT INTO multi VALUES (), (); SELECT * FROM multi');
    several($connection, 'SELECT 1; SELECT * FROM no_such_table; SELECT 2');
    several($connection, 'DROP TABLE multi');
    run($connection, q(SELECT 'still in step'));
    $connection->disconnect;
    for my $way (@WAYS) {
        $connection = connect_with(%$way);
        run($connection, <<'SQL');
CREATE PROCEDURE both_ways(IN a INT, OUT doubled INT, INOUT sum BIGINT)
BEGIN SET doubled = a * 2, sum = sum + a; SELECT a, 'first' AS name; SELECT sum; END
SQL
        run($connection, 'SET @sum = 100');
        several($connection, 'CALL both_ways(21, @doubled, @sum)');
        run($connection, 'SELECT @doubled, @sum');
        several($connection, 'CALL both_ways(?, @doubled, @sum)', -3);
        run($connection, 'SELECT @doubled, @sum');
        run($connection, 'DROP PROCEDURE both_ways');
        $connection->disconnect;
    }
}

sub many_rows {
    for my $way (@WAYS) {
        my $connection = connect_with(%$way);
        run($connection, 'CREATE TABLE streamed (id INT PRIMARY KEY, body VARCHAR(200))');
        my @values = map { "($_, '" . ($_ x ($_ % 40)) . "')" } 1 .. STREAMED_ROWS;
        $connection->do('INSERT INTO streamed VALUES ' . join ', ', @values);
        my $statement = $connection->prepare('SELECT * FROM streamed ORDER BY id');
        $statement->execute;
        my ($count, $digest) = (0, Digest::SHA->new(256));
        while (my ($id, $body) = $statement->fetchrow_array) {
            $digest->add("$id$body");
            $count++;
        }
        say_values('streamed', $count, $digest->hexdigest);
        expect($count == STREAMED_ROWS, 'all rows come');
        # Left early.
        $statement->execute;
        say_values('first', $statement->fetchrow_array);
        $statement->finish;
        run($connection, 'SELECT COUNT(*) FROM streamed');
        run($connection, 'DROP TABLE streamed');
        $connection->disconnect;
    }
}

sub long_values {
    my $body = $ALL_BYTES x (LONG_BLOB / 256);
    for my $way (@WAYS) {
        my $connection = connect_with(%$way);
        run($connection, 'CREATE TABLE blobs (id INT PRIMARY KEY, body LONGBLOB)');
        my $insert = $connection->prepare('INSERT INTO blobs VALUES (1, ?)');
        $insert->bind_param(1, $body, SQL_BLOB);
        say_values('inserted', $insert->execute);
        run($connection, 'SELECT id, LENGTH(body), SHA2(body, 256) FROM blobs');
        my ($got, $id, $again) = $connection->selectrow_array('SELECT body, id, body FROM blobs');
        expect($got eq $body && $id == 1 && $again eq $body, 'the blob comes back');
        run($connection, 'DROP TABLE blobs');
        $connection->disconnect;
    }
}

sub commands {
    my $connection = connect_with();
    say_values('ping', $connection->ping);
    my ($statistics) = $connection->{mariadb_stat} =~ /^(\w+):/;
    say_values('statistics', $statistics);
    say_values('quoted', $connection->quote(q(it's \\ "quoted")), $connection->quote_identifier('a`b'));
    run($connection, "CREATE DATABASE ${database}_other CHARACTER SET utf8mb4");
    run($connection, "USE ${database}_other");
    run($connection, 'SELECT DATABASE()');
    run($connection, "USE $database");
    run($connection, "DROP DATABASE ${database}_other");
    say_values('ping', $connection->ping);
    $connection->disconnect;
    expect(!$connection->ping, 'the connection is closed');
}

sub session_state {
    my ($one, $other) = (connect_with(), connect_with());
    run($one, q(SET @mine = 'kept', time_zone = '+05:30', sql_mode = 'ANSI_QUOTES'));
    run($one, 'CREATE TEMPORARY TABLE scratch (a INT)');
    run($other, 'SELECT @mine, @@time_zone, @@sql_mode');
    refused($other, 1146, sub { run($other, 'SELECT * FROM scratch') });
    run($one, 'SELECT @mine, @@time_zone, @@sql_mode, FROM_UNIXTIME(86400)');
    run($one, 'SELECT COUNT(*) AS "a name" FROM "scratch"');
    $_->disconnect for $one, $other;
}

sub schema {
    my $connection = connect_with();
    run($connection, q(CREATE TABLE things (id INT UNSIGNED PRIMARY KEY COMMENT 'its id', name VARCHAR(20) NOT NULL DEFAULT 'x', KEY by_name (name))));
    # DBI's ways to ask for a schema; the first column is the name of the database.
    for my $statement ($connection->table_info(undef, $database, '%', undef), $connection->column_info(undef, $database, 'things', '%'),
        $connection->primary_key_info(undef, $database, 'things')) {
        say_values('row', @$_) for @{ $statement->fetchall_arrayref };
    }
    run($connection, 'DROP TABLE things');
    $connection->disconnect;
}

# Processes of their own, as a web server has.
sub children {
    my $connection = connect_with();
    run($connection, 'CREATE TABLE children (child INT, step INT, PRIMARY KEY (child, step))');
    $connection->disconnect;
    my @children = map { child($_) } 1 .. CHILDREN;
    for my $child (@children) {
        waitpid $child, 0;
        expect($? == 0, 'a child failed');
    }
    $connection = connect_with();
    run($connection, 'SELECT child, COUNT(*), SUM(step) FROM children GROUP BY child ORDER BY child');
    run($connection, 'DROP TABLE children');
    $connection->disconnect;
}

sub child {
    my ($number) = @_;
    my $child = fork // die "fork: $!";
    return $child if $child;
    my $done = eval { work($number); 1 };
    warn $@ unless $done;
    # What the parent had before the fork is not the child's to clean up.
    POSIX::_exit($done ? 0 : 1);
}

sub work {
    my ($number) = @_;
    my $connection = connect_with(mariadb_server_prepare => $number % 2);
    $connection->do('SET @child = ?', undef, $number);
    for my $step (1 .. STATEMENTS_PER_CHILD) {
        $connection->do('INSERT INTO children VALUES (?, ?)', undef, $number, $step);
        my ($count, $own) = $connection->selectrow_array('SELECT COUNT(*), @child FROM children WHERE child = ?', undef, $number);
        expect($count == $step && $own == $number, "child $number got $count, $own");
    }
    $connection->disconnect;
}

# Runs a statement, prints all that the driver tells about it, returns the rows.
sub run {
    my ($connection, $sql, @values) = @_;
    print '-- ', shown($sql), "\n";
    my $statement = $connection->prepare($sql);
    my $rows = $statement->execute(@values);
    say_values('done', $rows, $statement->{mariadb_insertid}, $statement->{mariadb_warning_count});
    return tell_rows($statement);
}

# As run(), for a statement with several results, which may end in an error.
sub several {
    my ($connection, $sql, @values) = @_;
    print '-- ', shown($sql), "\n";
    my $done = eval {
        my $statement = $connection->prepare($sql);
        $statement->execute(@values);
        do { tell_rows($statement) } while ($statement->more_results);
        1;
    };
    say_values('error', $connection->err, $connection->state, $connection->errstr) unless $done;
}

sub tell_rows {
    my ($statement) = @_;
    return [] unless $statement->{NUM_OF_FIELDS};
    my @names = qw(NAME TYPE PRECISION SCALE NULLABLE mariadb_type mariadb_type_name mariadb_table mariadb_length
        mariadb_is_blob mariadb_is_key mariadb_is_num mariadb_is_pri_key mariadb_is_auto_increment);
    say_values($_, @{ $statement->{$_} }) for @names;
    my $rows = $statement->fetchall_arrayref;
    say_values('row', @$_) for @$rows;
    return $rows;
}

sub refused {
    my ($connection, $code, $work) = @_;
    expect(!eval { $work->(); 1 }, "wanted error $code");
    say_values('error', $connection->err, $connection->state, $connection->errstr);
    expect(($connection->err // 0) == $code, "wanted error $code, got " . ($connection->errstr // $@));
}

sub say_values {
    my ($what, @values) = @_;
    print "   $what: ", join(', ', map { shown($_) } @values), "\n";
}

sub shown {
    my ($value) = @_;
    return 'undef' unless defined $value;
    my $text = encode_utf8($value);
    return sprintf '<%d, %s>', length $value, sha256_hex($text) if length $text > LONGEST_SHOWN;
    $text =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
    return $text;
}

sub expect {
    my ($condition, $what) = @_;
    die "$what\n" unless $condition;
}

my @sections = (
    greeting => \&greeting, types => \&types, parameters => \&parameters, prepared => \&prepared,
    transactions => \&transactions, many => \&many, errors => \&errors, 'several results' => \&several_results,
    rows => \&many_rows, 'long values' => \&long_values, commands => \&commands, 'session state' => \&session_state,
    'schema' => \&schema, children => \&children,
);
while (my ($name, $section) = splice @sections, 0, 2) {
    print "== $name\n";
    $section->();
}
