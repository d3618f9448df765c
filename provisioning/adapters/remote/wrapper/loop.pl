# The one process per connection: it reads requests, forks a process for each, and passes on what that says.
our (%children, $incoming, $outgoing, $open);
our $FULL = 1 << 20;    # bytes that wait for a slow reader; above that nobody is read

sub serve_requests {
    my ($nonce) = @_;
    $SIG{CHLD} = 'IGNORE';
    ($incoming, $outgoing, $open) = ('', "\x1e\@$nonce ready\n", 1);
    waits_for_nothing($_, 1) for \*STDIN, \*STDOUT;
    open STDERR, '>', '/dev/null';    # it is one stream with our answers, which have begun
    load_part($_) for has_systemd() ? qw(earlier service) : ();    # once, not in each child
    turn() while $open;
    leave();
}

sub turn {
    my ($read, $write) = ('', '');
    my @busy = grep { length $_->{to} } values %children;
    vec($read, 0, 1) = 1 unless grep { length $_->{to} > $FULL } @busy;
    vec($write, 1, 1) = 1 if length $outgoing;
    vec($write, fileno $_->{socket}, 1) = 1 for @busy;
    if (length $outgoing < $FULL) { vec($read, fileno $_->{socket}, 1) = 1 for values %children }
    return if select($read, $write, undef, undef) < 1;
    take_requests() if vec $read, 0, 1;
    for my $child (my @all = values %children) {
        push_to($child) if vec $write, fileno $child->{socket}, 1;
        take_from($child) if vec $read, fileno $child->{socket}, 1;
    }
    push_out();
}

sub push_out {
    while (length $outgoing) {
        my $count = syswrite STDOUT, $outgoing;
        if (!defined $count) { $open = 0 unless $! == $EAGAIN || $! == $EINTR; return }
        substr $outgoing, 0, $count, '';
    }
}

sub take_requests {
    my $count = sysread STDIN, $incoming, $PIECE, length $incoming;
    if (!$count) { $open = 0 unless !defined $count && ($! == $EAGAIN || $! == $EINTR); return }
    while (my ($head, $payload) = next_frame(\$incoming)) {
        my ($word, $id) = split / /, $head;
        my $child = $children{$id};
        if    ($word eq 'data')   { $child->{to} .= $payload if $child }
        elsif ($word eq 'cancel') { let_go($child) if $child }
        else                      { start_child($word, $id, $payload) }
    }
}

my %VERBS = (
    start  => \&start_unit,
    stop   => \&stop_unit,
    probe  => \&probe,
    forget => \&forget_output,
);

sub start_child {
    my ($word, $id, $payload) = @_;
    socketpair my $ours, my $theirs, $AF_UNIX, $SOCK_STREAM, 0 or return refuse($id, "cannot make a socket: $!");
    my $process = fork // return refuse($id, "cannot fork: $!");
    if (!$process) {
        close $_->{socket} for values %children;
        close $ours;
        be_child($theirs, $VERBS{$word}, $payload);
    }
    $children{$id} = {id => $id, socket => $ours, from => '', to => ''};
    waits_for_nothing($ours, 1);
}

sub be_child {
    my ($socket, $verb, $payload) = @_;
    $SIG{CHLD} = 'DEFAULT';
    ($peer, %children) = ($socket);
    ($incoming, $outgoing) = ('', '');
    open STDIN,  '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    eval { %f = words($payload); $verb->(); 1 } or finish('refused', 0, "the wrapper failed: $@");
    leave();
}

sub refuse { $outgoing .= "end $_[0] " . length("cut 0 $_[1]") . "\ncut 0 $_[1]" }

sub let_go {
    my ($child) = @_;
    delete $children{$child->{id}};
    close $child->{socket};
}

sub push_to {
    my ($child) = @_;
    my $count = syswrite $child->{socket}, $child->{to};
    substr $child->{to}, 0, $count // 0, '';
    $child->{to} = '' unless defined $count || $! == $EAGAIN;
}

# A child that ends without a verdict has been killed: nobody knows how far it came.
sub take_from {
    my ($child) = @_;
    my $count = sysread $child->{socket}, $child->{from}, $PIECE, length $child->{from};
    return if !defined $count && ($! == $EAGAIN || $! == $EINTR);
    while (my ($word, $payload) = next_frame(\$child->{from})) {
        $outgoing .= "$word $child->{id} " . length($payload) . "\n$payload";
        $child->{ended} = 1 if $word eq 'end';
    }
    return if $count;
    $outgoing .= "end $child->{id} 6\nlost 0" unless $child->{ended};
    let_go($child);
}
