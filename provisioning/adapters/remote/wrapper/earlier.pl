# What has been before: units that run, are followed or have ended, and what they say again.

sub replay {
    my ($name) = @_;
    my ($kind, $code) = recorded("$units/$name");
    tell_peer('begin', $name);
    tell_output("$units/$name", seen($name));
    finish($kind, $code);
}

# What the runner has of a unit's output already; of any other unit it has nothing.
sub seen { return $_[0] eq $f{seen} ? $f{offset} : 0 }

# Whether nobody supervises a unit any more: its lock is free, or held for a later unit.
sub abandoned {
    my ($name) = @_;
    if (try_lock()) { flock $lock, $LOCK_UN }
    else            { return 0 if (newest())[1] eq $name }
    nap(0.2);    # its last act may have been to write the result
    return !recorded("$units/$name");
}

# A link under our name says whom we followed: who comes after us, or stops us, means that unit.
sub stand_behind {
    my ($name) = @_;
    return if $name eq $f{name} || target_of($unit) eq $name;
    unlink $unit if -l $unit;
    symlink $name, $unit or !recorded($unit) or replay($f{name});
}

sub follow {
    my ($name) = @_;
    stand_behind($name);
    my $socket;
    until ($socket = connect_unit("$units/$name")) {
        replay($name) if recorded("$units/$name");
        finish('lost', 0) if abandoned($name);
        leave() if runner_is_gone();
        nap(0.02);
    }
    tell_peer('begin', $name);
    hear_out($socket, $name);
}

# What a supervisor says until its end. Does not come back.
sub hear_out {
    my ($socket, $name) = @_;
    syswrite $socket, 'follow ' . seen($name) . "\n";
    pass_on($socket);
    for (1 .. 100) {    # it has been killed; in a service, systemd has its last words written
        my ($kind, $code) = recorded("$units/$name");
        finish($kind, $code) if defined $kind;
        nap(0.05);
        last if $_ > 10 && abandoned($name);
    }
    finish('lost', 0);
}

# Frames of a supervisor, as they are. Does not come back from the last one.
sub pass_on {
    my ($socket) = @_;
    my ($buffer, $open) = ('', 1);
    while ($open) {
        vec(my $read = '', fileno $socket, 1) = 1;
        vec($read, fileno $peer, 1) = 1;
        next if select($read, undef, undef, undef) < 1;
        leave() if vec($read, fileno $peer, 1) && !defined recv_peek();
        next unless vec($read, fileno $socket, 1);
        $open = sysread $socket, $buffer, $PIECE, length $buffer;
        while (my ($word, $text) = next_frame(\$buffer)) {
            tell_peer($word, $text) or leave();
            leave() if $word eq 'end';
        }
    }
}

# A claim without a result: nobody knows how far it went. What is left of it must be gone before anything runs again.
sub settle {
    my ($name, $why) = @_;
    finish('refused', 0, $why) unless $f{idempotent};
    my $folder = "$units/$name";
    reap($GRACE, mark => "$MARK=$folder") or finish('unknown', 0, "processes of $folder do not end");
    record($folder, 'lost', 0) unless recorded($folder);
}
