# Where a unit keeps what: claim, result, output; and what they say.
our ($base, $units, $unit, $resources, $resource, $lock, @fresh, $trim);

sub places {
    $base =
        length($ENV{PROVISIONING_HOME} // '') ? $ENV{PROVISIONING_HOME}
      : $> == 0                               ? '/var/lib/provisioning'
      :   ($ENV{HOME} // finish('refused', 0, 'no home folder for the unit')) . '/.local/state/provisioning';
    ($units, $resources) = ("$base/$f{lineage}/units", "$base/$f{lineage}/resources");
    $unit     = "$units/$f{name}";
    $resource = "$resources/$f{resource}";
}

sub settle_in {
    return if -d $resources && -d $units;
    make_folders($_) || finish('refused', 0, "cannot write to $base: $!") for $resources, $units;
    @fresh = ("$base/$f{lineage}", $base);
}

sub open_lock {
    sysopen $lock, "$resource.lock", $O_RDWR | $O_CREAT, 0600 or finish('refused', 0, "cannot write to $resources: $!");
}

sub try_lock { return flock $lock, $LOCK_EX | $LOCK_NB }

# A result is one line that says where it ends, so that a torn write is no result. Kind and code; as a condition, whether.
sub recorded {
    my ($line) = lines_of("$_[0]/result");
    return unless ($line // '') =~ /\A(\S+) (\d+) \.\z/;
    return wantarray ? ($1, $2) : 1;
}

# A result that says something. `lost` says that nobody will ever know.
sub known {
    my ($kind, $code) = recorded($_[0]);
    return unless defined $kind && $kind ne 'lost';
    return wantarray ? ($kind, $code) : 1;
}

sub record {
    my ($folder, $kind, $code) = @_;
    write_file("$folder/result", "$kind $code .\n");
    return durable("$folder/result", $folder);
}

# Digest, operation and service name of a unit that has been claimed.
sub claimed {
    my @lines = lines_of("$_[0]/claim");
    return unless @lines == 4 && $lines[3] eq '.';
    return wantarray ? @lines[0 .. 2] : 1;
}

# The highest token and the newest unit of a resource, from an append-only file: a torn last line counts as not written.
sub newest {
    my @lines = lines_of("$resource.units");
    my ($highest, $current) = (0, '');
    for (@lines) { ($highest, $current) = ($1, $2) if /\A(\d+) (\S+) \.\z/ }
    $trim = @lines >= 500;
    return ($highest, $current);
}

sub target_of { return -l $_[0] ? readlink $_[0] : '' }

sub forget_secrets {
    my ($folder) = lines_of("$unit/memory");
    remove_tree($folder) if ($folder // '') =~ m{/provisioning-[0-9a-f]+\z};
}

# ---------------------------------------------------------------- output

# Where what is kept of the output begins and ends. A file that is full goes on at its beginning.
sub kept_range {
    my ($folder) = @_;
    my $size = -s "$folder/out" // 0;
    my ($total) = lines_of("$folder/total");
    $total = $size unless ($total // '') =~ /\A\d+\z/;
    return ($total - $size, $total);
}

sub read_output {
    my ($file, $from, $size) = @_;
    my $at = $from % $KEPT;
    $size = $KEPT - $at if $size > $KEPT - $at;
    sysseek $file, $at, 0 or return '';
    sysread $file, my $data, $size or return '';
    return $data;
}

# Everything of a finished unit's output that is kept and that the runner does not have yet.
sub tell_output {
    my ($folder, $from) = @_;
    my ($first, $total) = kept_range($folder);
    open my $file, '<', "$folder/out" or return;
    if ($from < $first) { tell_peer('gap', $first - $from); $from = $first }
    while ($from < $total) {
        my $data = read_output($file, $from, $total - $from < $PIECE ? $total - $from : $PIECE);
        return unless length $data && tell_peer('out', $data);
        $from += length $data;
    }
}

# ---------------------------------------------------------------- the socket of a supervisor

# A socket's path must be short, so we are in its folder.
sub unit_socket { socket my $socket, $AF_UNIX, $SOCK_STREAM, 0 or return; return $socket }

sub connect_unit {
    my ($folder) = @_;
    my $socket = unit_socket() or return;
    chdir $folder or return;
    my $there = connect $socket, pack('S a*', $AF_UNIX, 'socket');
    chdir '/';
    return $there ? $socket : undef;
}

sub listen_unit {
    my $socket = unit_socket() or return;
    chdir $unit or return;
    unlink 'socket';
    return bind($socket, pack('S a*', $AF_UNIX, 'socket')) && listen($socket, 16) ? $socket : undef;
}
