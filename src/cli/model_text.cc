#include "cli/model_text.h"

namespace deepmoat::cli {

namespace {

constexpr std::string_view kText = R"text(The archive of the harbour office

On the morning when the new cranes were to be counted, Ilse Marwood found that the ledger of the
harbour office ended in the middle of a word. The last entry had been made by her predecessor, a
careful man who wrote the weather before the cargo and the cargo before the name of the ship.
"Wind from the south-west, falling," it said, and then "four hundred and twelve sacks of bar".
Nobody in the building could tell her whether the word had been meant to be barley or bark, and
the ship had left eleven days earlier with a fair tide and no forwarding address.

She did what the rules asked. She drew a line under the unfinished word, wrote the date and her
initials beside it, and began a new page. A register that has been corrected without a trace is
worth less than one with an honest gap: the first can only be believed, the second can be checked.
Her deputy thought this was excessive. He had worked for an insurance company, where an open
question was a cost, and he proposed to ask the mill at the other end of the valley what it had
received. The mill answered by return of post that it had received barley, three hundred and
ninety-eight sacks of it, and that it would like to know what had become of the other fourteen.

So the gap had become a difference, and a difference needs an explanation. They measured the
sheds. They weighed ten sacks that were still standing by the wall and found that each was heavier
than the tariff allowed, by about three and a half per cent. If all the sacks had been filled in
the same way, three hundred and ninety-eight of them would weigh as much as four hundred and
twelve of the lawful kind. The harbour had counted weight and called it sacks; the mill had
counted sacks. Both were right, and the missing fourteen had never existed.

Ilse wrote the explanation on one page, attached the two letters, and had it copied into the
ledger under the line that she had drawn. Then she changed the form. From now on it had a column
for the number of pieces and another one for the weight, and neither could be left empty. The
deputy, who had to print four thousand of these forms, asked whether it would not be simpler to
trust people to write down what they saw. She said that she did trust them. It was the next reader
whom she did not want to force into it.

How to keep a small server running through the winter

First, write down what it does. A machine that nobody can describe is a machine that nobody dares
to switch off. Second, measure before you change anything: the temperature of the room at night,
the free space on each disk, the time that a restart takes. Third, change one thing at a time and
wait a day. Most faults of the cold season are not caused by the cold but by the dry air, which
lets sparks jump from a pullover to a connector, and by the holidays, during which a certificate
ends that everybody remembered in October.

| check              | how often    | limit        | what to do when it is over |
|--------------------|--------------|--------------|----------------------------|
| disk in use        | every hour   | 80 per cent  | move the oldest logs away  |
| clock difference   | every hour   | 50 ms        | restart the time service   |
| longest answer     | every minute | 2.5 seconds  | look at the queue first    |
| failed sign-ins    | every minute | 20           | block the address          |

def days_left(certificate, today):
    """Days until the certificate ends; negative when it has ended."""
    end = certificate["not_after"]
    if end is None:
        raise ValueError("a certificate without an end")
    return (end - today).days

for name, certificate in sorted(store.items()):
    left = days_left(certificate, today)
    if left < 30:
        print(f"{name}: {left} days left, renew it now")

港务所的账本

清点新起重机的那天早晨，林秋禾发现港务所的账本写到一半就断了。前任是个仔细的人，先写天气，再写货物，最后写船名。
最后一行写着“西南风，渐弱”，接着是“四百一十二袋大”，后面没有了。楼里没有人知道那是大麦还是大豆，而那条船十一天前
已经顺着潮水离港，没有留下去向。

她照规矩办事：在没写完的字下面画了一道线，注明日期和自己的姓名，然后另起一页。改得不留痕迹的账，只能让人相信；
留着缺口的账，却可以让人核对。副手觉得这样太麻烦，他写信去问山谷另一头的磨坊。磨坊很快回信，说收到的是大麦，
一共三百九十八袋，并且想知道另外十四袋到哪里去了。

于是缺口变成了差额，而差额需要解释。他们称了墙边剩下的十袋，发现每一袋都比标准重大约百分之三点五。如果所有的袋子
都是这样装的，那么三百九十八袋的重量，正好等于四百一十二个标准袋。港口按重量折算成袋，磨坊按实物数袋。两边都没有错，
那十四袋从来就不存在。

她把经过写成一页纸，附上两封信，抄在那道线的下面，然后修改了表格：件数一栏，重量一栏，两栏都不许空着。副手问，
相信大家会如实填写，不是更简单吗？她说她当然相信大家，只是不想让以后看账的人除了相信以外别无选择。

机房值班须知：一、交接班时先看告警，再看曲线，最后看人。二、重启之前记录时间、原因和负责人。三、不确定的命令先在测试机上
执行一遍。四、发现密钥泄露，立即吊销，然后再查原因；顺序不能颠倒。
)text";

}  // namespace

std::string_view measuring_text() {
  return kText;
}

}  // namespace deepmoat::cli
