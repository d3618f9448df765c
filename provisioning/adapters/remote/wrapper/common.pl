# Shared by every part. The parts are one program: it travels once per connection, its processes are forked from it.
# No module is loaded, not even for constants: that alone would double the time until a server is ready. They are Linux's.
use strict;      # checked where we are tested: these two lines do not travel
use warnings;

our ($O_RDONLY, $O_WRONLY, $O_RDWR, $O_CREAT, $O_TRUNC, $O_APPEND, $O_NONBLOCK) = (0, 1, 2, 0100, 01000, 02000, 04000);
our ($LOCK_EX, $LOCK_NB, $LOCK_UN, $F_GETFL, $F_SETFL) = (2, 4, 8, 3, 4);
our ($AF_UNIX, $SOCK_STREAM, $MSG_PEEK, $WNOHANG, $EINTR, $EAGAIN) = (1, 1, 2, 1, 4, 11);

# System calls, and their numbers by the machine in the header of the program that runs us (ELF e_machine).
our @CALLS = qw(fsync prctl sync clock_gettime exit_group);
our %NUMBERS = (
    62  => [74,  157, 162, 228, 231],    # x86-64
    183 => [82,  167, 81,  113, 94],     # aarch64
    243 => [82,  167, 81,  113, 94],     # riscv
    3   => [118, 172, 36,  265, 252],    # i386
    40  => [118, 172, 36,  263, 248],    # arm
    22  => [118, 172, 36,  260, 248],    # s390
    21  => [118, 171, 36,  246, 234],    # ppc64
);
our %call;
@call{@CALLS} = this_machine();
our $PROGRAM;                        # our own text: a supervisor in a service of its own is started with it
our $MARK   = 'PROVISIONING_UNIT';
our $GRACE  = 3;                     # seconds between TERM and KILL
our $KEPT   = 64 << 20;              # bytes of a unit's output that are kept on the server: the last ones
our $PIECE  = 64 << 10;              # bytes that are read at once
our (%f, $peer);                     # the request's fields; the socket of whoever asked

$SIG{PIPE} = 'IGNORE';

# sshd gives non-login shells a path without them
for my $place (qw(/usr/local/sbin /usr/sbin /sbin)) {
    $ENV{PATH} = join ':', grep { length } $ENV{PATH}, $place if index(":$ENV{PATH}:", ":$place:") < 0;
}

# ---------------------------------------------------------------- parts

# What few units need is compiled when one of its functions is called for the first time.
our %LATER;    # name of a part => its text

sub AUTOLOAD {
    my ($name) = our $AUTOLOAD =~ /(\w+)\z/;
    my ($part) = grep { $LATER{$_} =~ /^sub $name\b/m } keys %LATER or die "no function $name\n";
    load_part($part);
    goto &{\&$AUTOLOAD};
}

sub load_part {
    eval delete $LATER{$_[0]};
    die $@ if $@;
}

# ---------------------------------------------------------------- words and frames

# Fields are netstrings: name, value, name, value. A value may hold netstrings again.
sub words {
    my ($text) = @_;
    my @words;
    while ($text =~ /\G(\d+):/gc) {
        my ($size, $at) = ($1, pos $text);
        die "a field was cut\n" if $at + $size > length $text;
        push @words, substr $text, $at, $size;
        pos($text) = $at + $size;
    }
    return @words;
}

sub netstrings { return join '', map { length($_) . ":$_" } @_ }

# Between our own processes a frame is "WORD SIZE\n" and so many bytes; the loop puts the request's number in.
sub frame { return "$_[0] " . length($_[1]) . "\n$_[1]" }

sub tell_peer {
    my ($word, $text) = @_;
    my $data = frame($word, $text // '');
    while (length $data) {
        my $count = syswrite $peer, $data;
        return 0 unless defined $count;    # the runner is gone: what it asked for does not end because of that
        substr $data, 0, $count, '';
    }
    return 1;
}

sub finish { tell_peer('end', "@_"); leave() }

# Ends without tidying up memory, which is thrown away as it is: that would be a twentieth of a small unit's time.
sub leave {
    syscall $call{exit_group}, 0 if $call{exit_group};
    exit 0;
}

# Takes whole frames from the front of a buffer. The word before the last one is a number in frames that come from a runner.
sub next_frame {
    my ($buffer) = @_;
    return unless $$buffer =~ /\A([^\n]*) (\d+)\n/;
    my ($head, $size, $at) = ($1, $2, $+[0]);
    return if length($$buffer) < $at + $size;
    my $payload = substr $$buffer, $at, $size;
    substr $$buffer, 0, $at + $size, '';
    return ($head, $payload);
}

# ---------------------------------------------------------------- time

# Seconds on a clock that never goes back, and goes on while the machine sleeps. Where only /proc/uptime has it, it is rounded
# down to a tick.
our ($TICK, $CLOCK_BOOTTIME) = (0.01, 7);

sub now {
    my $time = pack 'l!2', 0, 0;
    if (defined $call{clock_gettime} && syscall($call{clock_gettime}, $CLOCK_BOOTTIME, $time) == 0) {
        my ($seconds, $nanoseconds) = unpack 'l!2', $time;
        return $seconds + $nanoseconds / 1e9;
    }
    open my $file, '<', '/proc/uptime' or return time;
    return (split ' ', <$file>)[0];
}

sub nap { select undef, undef, undef, $_[0] }

# ---------------------------------------------------------------- files

sub lines_of {
    my ($path) = @_;
    open my $file, '<', $path or return;
    my @lines = <$file>;
    chomp @lines;
    return @lines;
}

sub write_file {
    my ($path, $text, $mode) = @_;
    sysopen my $file, $path, $O_WRONLY | $O_CREAT | $O_TRUNC, $mode // 0600 or return;
    while (length $text) {
        my $count = syswrite $file, $text;
        return unless defined $count;
        substr $text, 0, $count, '';
    }
    return close $file;
}

sub append_line {
    my ($path, $line) = @_;
    sysopen my $file, $path, $O_WRONLY | $O_CREAT | $O_APPEND, 0600 or return;
    my $count = syswrite $file, "$line\n";
    return defined $count && $count == length($line) + 1 && close $file;
}

sub this_machine {
    open my $file, '<', '/proc/self/exe' or return;
    sysread $file, my $header, 20;
    return @{$NUMBERS{unpack 'x18 S', $header} // []};
}

# Files and folders, onto the disk. False when the disk refuses.
sub durable {
    for my $path (@_) {
        sysopen my $file, $path, $O_RDONLY or return;
        sync_file($file) or return;
    }
    return 1;
}

sub sync_file {
    my ($file) = @_;
    return syscall($call{fsync}, fileno $file) == 0 if $call{fsync};
    require IO;
    return IO::Handle::sync($file);
}

# Everything that anybody has written.
sub sync_all {
    return $call{sync} ? syscall $call{sync} : system 'sync';
}

sub waits_for_nothing {
    my ($handle, $flag) = @_;
    my $flags = fcntl $handle, $F_GETFL, 0;
    return fcntl $handle, $F_SETFL, $flag ? $flags | $O_NONBLOCK : $flags & ~$O_NONBLOCK;
}

sub make_folders {
    my ($path) = @_;
    return 1 if -d $path;
    make_folders($path =~ s{/[^/]*\z}{}r) or return;
    return mkdir($path, 0700) || -d $path;
}

# Follows no link.
sub remove_tree {
    my ($path) = @_;
    return unlink $path if -l $path || !-d _;
    opendir my $folder, $path or return;
    for my $name (readdir $folder) {
        remove_tree("$path/$name") unless $name eq '.' || $name eq '..';
    }
    return rmdir $path;
}

# [path, mode, content] each, below a folder. False when one cannot be written, or its path leads elsewhere.
sub write_files {
    my ($folder, @files) = @_;
    while (my ($path, $mode, $content) = splice @files, 0, 3) {
        return if $path =~ m{\A/|(?:\A|/)\.\.(?:/|\z)};
        make_folders("$folder/$path" =~ s{/[^/]*\z}{}r) or return;
        write_file("$folder/$path", $content, oct $mode) or return;
    }
    return 1;
}
