# Runs a unit's script, keeps its output, serves whoever wants to hear it, and writes down how it ended.
our $PATIENCE = 5;        # seconds without a move, after which a listener is no listener
our $GATHER   = 0.005;    # seconds that a short piece waits for what follows it; the script's end is heard at once
our ($script, $stirred, $pipe, $kept, $total, $valid_from, $listener, $forced, %clients);

sub supervise {
    my $status = run_script();
    my ($kind, $code) =
        $forced      ? ($forced, 0)
      : $status & 127 ? ('signal', $status & 127)
      :                 ('exit', $status >> 8);
    conclude($kind, $code);
}

sub run_script {
    setpgrp 0, 0;
    open STDERR, '>>', "$unit/trouble";
    open STDOUT, '>',  '/dev/null';
    $SIG{TERM} = sub { $forced //= 'cancelled' };
    $SIG{CHLD} = sub { $stirred = 1 };    # and ends a select
    $SIG{XFSZ} = 'IGNORE';
    adopt_orphans();
    sysopen $kept, "$unit/out", $O_RDWR | $O_CREAT | $O_TRUNC, 0600;
    ($total, $valid_from) = (0, 0);
    $listener = listen_unit();
    add_client($peer, 0) if $peer;
    pipe($pipe, my $end) or die "pipe: $!";
    chdir "$unit/bundle";
    $script = spawn_bash($end, $end, [words($f{environment}), $MARK => $unit], "./$f{entry}", $f{operation});
    chdir '/';
    close $end;
    waits_for_nothing($pipe, 1);
    return watch(now() + $f{limit} + $TICK);
}

# Returns the script's status once it has ended, or once everything was killed because it had to.
sub watch {
    my ($deadline) = @_;
    return -1 unless defined $script;
    while (1) {
        my $status = ended_status();
        return $status if defined $status;
        $forced //= 'timeout' if now() >= $deadline;
        if ($forced) {
            reap($GRACE, mark => "$MARK=$unit", group => $script, service => own_service(), root => $$);
            return 0;
        }
        my $left = $deadline - now();
        attend($left < 0.25 ? $left < 0 ? 0 : $left : 0.25);
    }
}

sub ended_status {
    my $status;
    $stirred = 0;
    while ((my $process = waitpid -1, $WNOHANG) > 0) { $status = $? if $process == $script }
    return $status;
}

# ---------------------------------------------------------------- output

# Waits until something happens, at most so long: output, somebody new, a word, room to write.
sub attend {
    my ($wait) = @_;
    my ($read, $write) = ('', '');
    vec($read, fileno $_, 1) = 1 for grep { defined } $listener, map { $_->{socket} } values %clients;
    vec($read, fileno $pipe, 1) = 1 if $pipe && !somebody_is_behind();
    for (values %clients) { vec($write, fileno $_->{socket}, 1) = 1 if wants_to_write($_) }
    return if select($read, $write, undef, $wait) < 1;
    my $size = $pipe && vec($read, fileno $pipe, 1) ? take_output() : undef;
    nap($GATHER) if $size && $size < 4096 && !$stirred;
    greet() if $listener && vec $read, fileno $listener, 1;
    for (my @all = values %clients) {
        hear($_) if vec $read, fileno $_->{socket}, 1;
        give($_) unless $_->{gone};
    }
}

# Whether to let the script wait for a listener: one who is far behind, but takes what he gets. A link that has died takes
# nothing, and for nobody who is that slow the script waits.
sub somebody_is_behind {
    my $behind = $total - $KEPT / 2;
    return grep { defined $_->{offset} && $_->{offset} < $behind && $_->{moved} > now() - $PATIENCE } values %clients;
}

# Takes a piece of what the script has printed; returns its size, or nothing when there is no more, for now or for ever.
sub take_output {
    my $count = sysread $pipe, (my $data), $PIECE;
    if (!defined $count) { return }
    if (!$count) { close $pipe; undef $pipe; return }
    my $room = $KEPT - $total % $KEPT;
    my @parts = (substr($data, 0, $room), length $data > $room ? substr($data, $room) : ());
    for my $part (@parts) {
        sysseek $kept, $total % $KEPT, 0;
        my $written = syswrite $kept, $part;
        $total += length $part;
        $valid_from = $total if ($written // 0) < length $part;    # the disk is full: nobody will see it
    }
    $valid_from = $total - $KEPT if $valid_from < $total - $KEPT;
    return $count;
}

# ---------------------------------------------------------------- who listens

sub add_client {
    my ($socket, $offset) = @_;
    waits_for_nothing($socket, 1);
    $clients{fileno $socket} = {socket => $socket, offset => $offset, pending => '', said => '', moved => now()};
}

sub greet {
    accept my $socket, $listener or return;
    add_client($socket, undef);
}

sub hear {
    my ($client) = @_;
    my $count = sysread $client->{socket}, $client->{said}, 100, length $client->{said};
    return if !defined $count && $! == $EAGAIN;
    return drop($client) unless $count;
    $client->{offset} = $1 if $client->{said} =~ s/\Afollow (\d+)\n//;
    $forced //= 'cancelled' if $client->{said} =~ s/\Astop\n//;
}

sub drop {
    my ($client) = @_;
    delete $clients{fileno $client->{socket}};
    close $client->{socket};
    $client->{gone} = 1;
    return;
}

sub wants_to_write {
    my ($client) = @_;
    return length $client->{pending} || defined $client->{offset} && $client->{offset} < $total;
}

# Writes as much as the other side takes now.
sub give {
    my ($client) = @_;
    while (wants_to_write($client)) {
        fill($client) unless length $client->{pending};
        my $count = syswrite $client->{socket}, $client->{pending};
        if (!defined $count) { return $! == $EAGAIN ? undef : drop($client) }
        substr $client->{pending}, 0, $count, '';
        $client->{moved} = now();
    }
}

sub fill {
    my ($client) = @_;
    if ($client->{offset} < $valid_from) {
        $client->{pending} = frame('gap', $valid_from - $client->{offset});
        $client->{offset}  = $valid_from;
        return;
    }
    my $left = $total - $client->{offset};
    my $data = read_output($kept, $client->{offset}, $left < $PIECE ? $left : $PIECE);
    $client->{pending} = frame('out', $data);
    $client->{offset} += length($data) || $left;
}

# ---------------------------------------------------------------- the end

sub conclude {
    my ($kind, $code) = @_;
    $SIG{TERM} = 'IGNORE';
    for (1 .. 16) { last unless $pipe && take_output() }    # a pipe holds no more than that
    write_file("$unit/total", "$total\n") if $total > $KEPT;
    forget_secrets();
    sync_all() if $kind eq 'exit' && $code == 0;    # what the script did must not be less durable than the word that it is done
    record($unit, $kind, $code);
    unlink "$unit/socket";
    flock $lock, $LOCK_UN;
    close $lock;
    $_->{end} = "$kind $code" for values %clients;
    part($_) for my @all = values %clients;
    remove_tree("$unit/bundle");
    unlink "$unit/serving";
    farewell();
    keep_on() if $pipe;
    leave();
}

# Passes on what is left, then the verdict. Who takes nothing for some seconds has to ask again.
sub farewell {
    close $listener if $listener;
    my $until = now() + 10;
    while (%clients && now() < $until) {
        my $write = '';
        vec($write, fileno $_->{socket}, 1) = 1 for values %clients;
        next if select(undef, $write, undef, 1) < 1;
        $until = now() + 10;
        part($_) for my @all = values %clients;
    }
}

sub part {
    my ($client) = @_;
    return drop($client) unless defined $client->{offset};
    fill($client) unless length $client->{pending} || !wants_to_write($client);
    $client->{pending} .= frame('end', delete $client->{end}) if $client->{offset} >= $total && defined $client->{end};
    give($client);
    return if $client->{gone} || wants_to_write($client);
    return defined $client->{end} ? part($client) : drop($client);
}

# A daemon that was left behind holds the output open. It keeps its reader, in a process that has nothing else.
sub keep_on {
    fork and leave();
    waits_for_nothing($pipe, 0);
    1 while take_output();
}
